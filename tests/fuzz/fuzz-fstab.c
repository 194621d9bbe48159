#include "image/fstab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _fstab_ struct fstab t = {0};
    if (fstab_parse(&t, BYTES(data, size), NULL) == 0)
        (void)fstab_find(&t, "/boot");
    return 0;
}
