#include "measure/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _reference_values_ struct reference_values v = {0};
    (void)!reference_values_parse(&v, BYTES(data, size), "fuzz", NULL);
    return 0;
}
