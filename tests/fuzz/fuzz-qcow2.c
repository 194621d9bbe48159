/* The first byte chooses: the rest is a whole file, or a header and an L2 table. */
#include "disk/qcow2.h"
#include "base/io.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void check_file(struct bytes file)
{
    struct qcow2_map map;
    _close_ int fd = memfd_create("image", MFD_CLOEXEC);
    if (fd < 0 || write_exact(fd, file.data, file.size) < 0)
        abort();
    if (qcow2_check_file(fd, "fuzz", &map, NULL) < 0)
        return;
    /* What is mapped is inside of the file. */
    for (uint64_t i = 0; map.where && i <= (map.size - 1) >> QCOW2_MAP_CLUSTER_BITS; i++)
        if (map.where[i] && (uint64_t)map.where[i] << QCOW2_MAP_CLUSTER_BITS > file.size)
            abort();
    free((void *)map.where);
}

static void check_table(struct bytes in)
{
    struct qcow2_header h;
    if (in.size < QCOW2_HEADER_SIZE || qcow2_header_parse(&h, in, NULL) < 0)
        return;
    /* What follows the header serves as an L2 table of the disk's start. */
    struct bytes table = BYTES(in.data + QCOW2_HEADER_SIZE, in.size - QCOW2_HEADER_SIZE);
    int r = qcow2_check_l2(&h, table, 0, (uint64_t)1 << 30, NULL);
    (void)r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    (data[0] & 1 ? check_table : check_file)(BYTES(data + 1, size - 1));
    return 0;
}
