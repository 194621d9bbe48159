/* The initial measurement of a machine: firmware mode, with the description as device tree. */
#include "measure/rim.h"
#include "tmm/machine.h"

#include <sys/mman.h>
#include <sys/stat.h>

int machine_rim(const struct machine *m, struct digest *ret, struct error *err)
{
    const struct rim_machine machine = {.vcpus = m->vcpus};
    struct stat st;

    if (fstat(m->firmware, &st) < 0)
        return error_errno(err, errno, "firmware");
    if (st.st_size == 0)
        return error_set(err, EINVAL, "the firmware is empty");
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, m->firmware, 0);
    if (map == MAP_FAILED)
        return error_errno(err, errno, "firmware");
    int r = rim_of_firmware(ret, &machine, BYTES(map, (size_t)st.st_size),
                            buffer_bytes(&m->description), err);
    munmap(map, (size_t)st.st_size);
    return r;
}
