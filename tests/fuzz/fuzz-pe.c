#include "measure/pe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct digest d;
    (void)!pe_authenticode(&d, HASH_SHA256, BYTES(data, size), NULL);
    return 0;
}
