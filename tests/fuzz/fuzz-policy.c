/* A policy: what is accepted must be what it says, and nothing in it may be left half read. */
#include "appraise/policy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _policy_ struct policy *policy = NULL;
    struct error e = {0};
    if (policy_parse(&policy, BYTES(data, size), "input", NULL, &e) < 0) {
        if (policy || !e.text[0])
            abort();
        return 0;
    }
    const struct appraisal_policy *p = &policy->appraisal;
    if (!p->platforms || (p->boot_count > 0) != (p->boot != NULL) ||
        p->boot_count > POLICY_BOOT_MAX || p->initial_count > POLICY_LIST_MAX)
        abort();
    for (size_t i = 0; i < p->initial_count; i++)
        if (p->initial[i].size != hash_size(p->initial[i].alg) || p->initial[i].size < 32)
            abort();
    for (size_t i = 0; i < p->platform.component_count; i++)
        if (p->platform.components[i].measurements.count == 0 &&
            p->platform.components[i].version_min.size == 0)
            abort();
    return 0;
}
