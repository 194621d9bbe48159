#include "measure/kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _buffer_ struct buffer out = {0};
    (void)!kernel_decompress(&out, BYTES(data, size), NULL);
    (void)kernel_takes_any_initramfs(BYTES(data, size));
    return 0;
}
