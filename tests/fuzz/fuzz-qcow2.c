#include "disk/qcow2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qcow2_header h;
    struct error err;
    if (size < QCOW2_HEADER_SIZE || qcow2_header_parse(&h, BYTES(data, size), &err) < 0)
        return 0;
    /* What follows the header serves as an L2 table of the disk's start. */
    struct bytes table = BYTES(data + QCOW2_HEADER_SIZE, size - QCOW2_HEADER_SIZE);
    int r = qcow2_check_l2(&h, table, 0, (uint64_t)1 << 30, &err);
    return r <= 0 ? 0 : -1;
}
