#include "cli/policy_load.h"
#include "base/hex.h"
#include "base/io.h"
#include "cli/paths.h"

#include <string.h>

#define HASH_JSON_MAX ((size_t)4 << 20)

static int parse_rim(struct digest *ret, const char *text, struct error *err)
{
    static const enum hash_alg algs[] = {HASH_SHA256, HASH_SHA384, HASH_SHA512};
    for (size_t i = 0; i < ARRAY_SIZE(algs); i++) {
        struct digest d = {.alg = algs[i], .size = hash_size(algs[i])};
        if (hex_decode(text, d.bytes, d.size) < 0)
            continue;
        *ret = d;
        return 0;
    }
    return error_set(err, EINVAL,
                     "RIM: expected 64, 96 or 128 hexadecimal digits, found \"%.140s\"", text);
}

static int load_reference(struct reference_values *ret, const char *path, struct error *err)
{
    _buffer_ struct buffer text = {0};
    int r = read_file(path, HASH_JSON_MAX, &text, err);
    return r < 0 ? r : reference_values_parse(ret, buffer_bytes(&text), path, err);
}

static int load_anchors(struct trust_anchors **ret, const char *folder, struct error *err)
{
    _cleanup_(paths_free) struct paths p = {0};
    int r = paths_of(&p, folder, err);
    if (r == 0)
        r = trust_anchors_load(ret, p.trust_folder, p.trust_pins, err);
    if (r < 0 && err && !err->hint[0])
        error_hint(err, r, "encroot init %s --trust FILE adds trust anchors", folder);
    return r;
}

int policy_load(struct loaded_policy *ret, const struct option_list *rims, const char *hash_json,
                const char *folder, struct error *err)
{
    *ret = (struct loaded_policy){0};
    int r = rims->count > 0 ? 0 : error_set(err, EINVAL, "no RIM was given");
    for (size_t i = 0; r == 0 && i < rims->count; i++)
        r = parse_rim(&ret->initial[i], rims->items[i], err);
    if (r == 0)
        r = load_reference(&ret->boot, hash_json, err);
    if (r == 0)
        r = load_anchors(&ret->anchors, folder, err);
    if (r < 0) {
        policy_unload(ret);
        return r;
    }
    ret->policy = (struct appraisal_policy){.anchors = ret->anchors,
                                            .initial = ret->initial,
                                            .initial_count = rims->count,
                                            .boot = &ret->boot};
    return 0;
}

void policy_unload(struct loaded_policy *p)
{
    reference_values_free(&p->boot);
    trust_anchors_free(p->anchors);
    *p = (struct loaded_policy){0};
}
