#include "image/grubcfg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _grub_config_ struct grub_config c = {0};
    (void)!grub_config_parse(&c, BYTES(data, size), "fuzz", NULL);
    return 0;
}
