/*
 * A disk that begins with the input. Checksums, which no fuzzer guesses, are made right where the
 * header is of a size that can be.
 */
#include "disk/partition.h"
#include "fuzz_disk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#define HEADER_SIZE 92

static void seal(uint8_t *disk)
{
    uint8_t *header = disk + 512;
    if (memcmp(header, "EFI PART", 8) != 0)
        return;
    put_le32(header + 88, (uint32_t)crc32(0, disk + 1024, 128 * 128));
    put_le32(header + 16, 0);
    put_le32(header + 16, (uint32_t)crc32(0, header, HEADER_SIZE));
}

/* What is returned is sane (partition.h). */
static void check(const struct partition_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct partition *p = &t->parts[i];
        if (p->start > t->disk_size || p->size > t->disk_size - p->start)
            abort();
        for (size_t j = 0; j < i; j++)
            if (p->start < t->parts[j].start + t->parts[j].size &&
                t->parts[j].start < p->start + p->size)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t disk[FUZZ_DISK_SIZE];
    _close_ int fd = memfd_create("disk", MFD_CLOEXEC);
    _blockdev_ struct blockdev *d = NULL;
    struct partition_table t;
    memset(disk, 0, sizeof(disk));
    memcpy(disk, data, size < FUZZ_DISK_HEAD ? size : FUZZ_DISK_HEAD);
    seal(disk);
    if (fd < 0 || pwrite_exact(fd, disk, sizeof(disk), 0) < 0 ||
        blockdev_from_fd(&d, fd, "disk", false, NULL) < 0)
        abort();
    if (partition_table_read(&t, d, NULL) == 0)
        check(&t);
    return 0;
}
