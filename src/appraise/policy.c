#include "appraise/policy.h"
#include "base/hex.h"

#include <string.h>

int policy_digest(struct digest *ret, const char *text)
{
    static const enum hash_alg algs[] = {HASH_SHA256, HASH_SHA384, HASH_SHA512};
    for (size_t i = 0; i < ARRAY_SIZE(algs); i++) {
        struct digest d = {.alg = algs[i], .size = hash_size(algs[i])};
        if (hex_decode(text, d.bytes, d.size) < 0)
            continue;
        *ret = d;
        return 0;
    }
    return -EINVAL;
}

void *policy_keep(struct policy *p, const void *from, size_t size)
{
    void **longer = reallocarray(p->blocks, p->block_count + 1, sizeof(*longer));
    if (!longer)
        return NULL;
    p->blocks = longer;
    void *block = calloc(1, size ? size : 1);
    if (!block)
        return NULL;
    if (from && size)
        memcpy(block, from, size);
    p->blocks[p->block_count++] = block;
    return block;
}

void policy_free(struct policy *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->boot_count; i++)
        reference_values_free(&p->boot[i]);
    free(p->boot);
    for (size_t i = 0; i < p->block_count; i++)
        free(p->blocks[i]);
    free(p->blocks);
    trust_anchors_free(p->anchors);
    free(p);
}

int policy_of_values(struct policy **ret, const struct digest *initial, size_t initial_count,
                     struct reference_values *boot, struct trust_anchors *anchors,
                     struct error *err)
{
    _policy_ struct policy *p = calloc(1, sizeof(*p));
    struct reference_values *set = calloc(1, sizeof(*set));
    struct digest *rims = p ? policy_keep(p, initial, initial_count * sizeof(*rims)) : NULL;
    if (!rims || !set) {
        free(set);
        trust_anchors_free(anchors);
        reference_values_free(boot);
        return error_set(err, ENOMEM, "out of memory");
    }
    *set = *boot;
    *boot = (struct reference_values){0};
    p->boot = set;
    p->boot_count = 1;
    p->anchors = anchors;
    p->appraisal = (struct appraisal_policy){
        .platform = {.anchors = anchors, .waivers = WAIVERS_ALL},
        .initial = rims,
        .initial_count = initial_count,
        .boot = p->boot,
        .boot_count = 1,
        .records = {.waivers = WAIVERS_ALL},
    };
    *ret = TAKE_PTR(p);
    return 0;
}

static bool boots_encrypted(const char *line)
{
    static const char root[] = "root=/dev/mapper/encroot";
    for (const char *at = line; (at = strstr(at, root)) != NULL; at += strlen(root))
        if ((at == line || at[-1] == ' ') && strchr(" ", at[strlen(root)]))
            return true;
    return false;
}

const char *policy_plain_boot(const struct appraisal_policy *p)
{
    for (size_t i = 0; i < p->boot_count; i++)
        for (size_t k = 0; k < p->boot[i].kernel_count; k++) {
            char *const *lines = p->boot[i].kernels[k].cmdlines;
            for (; lines && *lines; lines++)
                if (!boots_encrypted(*lines))
                    return *lines;
        }
    return NULL;
}
