#include "image/modules.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The four lists, separated by zeros. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes parts[4] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const uint8_t *end = size ? memchr(data, 0, size) : NULL;
        size_t n = end ? (size_t)(end - data) : size;
        parts[i] = BYTES(data, n);
        data += n + (end != NULL);
        size -= n + (end != NULL);
    }
    struct modules_lists lists = {
        .dep = parts[0], .alias = parts[1], .softdep = parts[2], .builtin = parts[3]};
    _modules_plan_ struct modules_plan p = {0};
    (void)!modules_plan_make(&p, &lists, NULL);
    return 0;
}
