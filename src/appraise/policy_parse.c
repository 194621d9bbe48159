/* The JSON of encroot-policy(5). Members are tables; each list and each object has one reader. */
#include "appraise/policy_parser.h"
#include "base/hex.h"
#include "base/io.h"

#include <libgen.h>
#include <string.h>

#define POLICY_VERSION 1
#define REFERENCE_FILE_MAX ((size_t)4 << 20)

/* `size` bytes without content, which live as long as the policy. */
static void *keep(struct policy_parser *p, size_t size)
{
    return policy_keep(p->policy, NULL, size);
}

/* ---- "platform" ---- */

static const struct list_member platform_lists[] = {
    {"lifecycle", VALUE_LIFECYCLE, offsetof(struct platform_policy, lifecycles)},
    {"profiles", VALUE_TEXT, offsetof(struct platform_policy, profiles)},
    {"implementation_ids", VALUE_HEX, offsetof(struct platform_policy, implementations)},
    {"instance_ids", VALUE_HEX, offsetof(struct platform_policy, instances)},
    {"configurations", VALUE_HEX, offsetof(struct platform_policy, configurations)},
    {NULL, 0, 0},
};

static const struct list_member component_lists[] = {
    {"measurements", VALUE_HEX, offsetof(struct component_policy, measurements)},
    {"signer_ids", VALUE_HEX, offsetof(struct component_policy, signers)},
    {NULL, 0, 0},
};

static int keep_text(struct policy_parser *p, json_t *object, const char *key, struct bytes *ret)
{
    const char *text;
    int r = json_get_string(object, key, &text, p->where, p->err);
    if (r < 0)
        return r;
    char *copy = policy_keep(p->policy, text, strlen(text) + 1);
    if (!copy)
        return policy_no_memory(p);
    *ret = BYTES_STR(copy);
    return 0;
}

static int read_component(struct policy_parser *p, json_t *j, struct component_policy *c)
{
    static const char *const known[] = {"type", "measurements", "signer_ids", "min_version", NULL};
    if (!json_is_object(j))
        return error_set(p->err, EINVAL, "%s: expected an object", p->where);
    int r = json_only_keys(j, known, p->where, p->err);
    if (r == 0)
        r = keep_text(p, j, "type", &c->type);
    if (r == 0 && json_object_get(j, "min_version"))
        r = keep_text(p, j, "min_version", &c->version_min);
    if (r == 0 && c->version_min.size > 0 &&
        strspn((const char *)c->version_min.data, "0123456789.") != c->version_min.size)
        r = error_set(p->err, EINVAL, "%s: \"min_version\": expected numbers and dots", p->where);
    if (r == 0)
        r = policy_read_value_sets(p, j, component_lists, c);
    if (r == 0 && c->measurements.count == 0 && c->version_min.size == 0)
        r = error_set(p->err, EINVAL, "%s: needs \"measurements\" or \"min_version\"", p->where);
    return r;
}

static int read_components(struct policy_parser *p, json_t *platform)
{
    json_t *list;
    int r = policy_get_list(p, platform, "components", POLICY_LIST_MAX, &list);
    size_t n = list ? json_array_size(list) : 0;
    if (r < 0 || n == 0)
        return r;
    struct component_policy *out = keep(p, n * sizeof(*out));
    if (!out)
        return policy_no_memory(p);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct policy_parser inner = *p;
        snprintf(inner.where, sizeof(inner.where), "%.250s: components[%zu]", p->where, i);
        r = read_component(&inner, json_array_get(list, i), &out[i]);
    }
    p->policy->appraisal.platform.components = out;
    p->policy->appraisal.platform.component_count = n;
    return r;
}

static int read_platform(struct policy_parser *outer, json_t *root)
{
    static const char *const known[] = {
        "lifecycle",  "profiles", "implementation_ids", "instance_ids", "configurations",
        "components", NULL};
    struct platform_policy *to = &outer->policy->appraisal.platform;
    struct policy_parser inner;
    json_t *platform;
    int r = policy_get_object(outer, root, "platform", known, &platform, &inner);
    if (r < 0 || !platform)
        return r;
    r = policy_read_value_sets(&inner, platform, platform_lists, to);
    return r < 0 ? r : read_components(&inner, platform);
}

/* ---- "boot" ---- */

static int read_boot_set(struct policy_parser *p, json_t *j, size_t i, struct reference_values *ret)
{
    _buffer_ struct buffer file = {0};
    char where[POLICY_WHERE_MAX + 32];
    const char *name = json_string_value(j);
    if (name) {
        int r = policy_read_file(p, name, REFERENCE_FILE_MAX, &file);
        return r < 0 ? r : reference_values_parse(ret, buffer_bytes(&file), name, p->err);
    }
    snprintf(where, sizeof(where), "%s: boot[%zu]", p->where, i);
    if (!json_is_object(j))
        return error_set(p->err, EINVAL, "%s: expected a file name or an object", where);
    _free_ char *text = json_dumps(j, JSON_COMPACT);
    return text ? reference_values_parse(ret, BYTES_STR(text), where, p->err) : policy_no_memory(p);
}

static int read_boot(struct policy_parser *p, json_t *root)
{
    struct policy *to = p->policy;
    json_t *list;
    int r = policy_get_list(p, root, "boot", POLICY_BOOT_MAX, &list);
    size_t n = list ? json_array_size(list) : 0;
    if (r < 0 || n == 0)
        return r;
    to->boot = calloc(n, sizeof(*to->boot));
    if (!to->boot)
        return policy_no_memory(p);
    to->boot_count = n;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = read_boot_set(p, json_array_get(list, i), i, &to->boot[i]);
    to->appraisal.boot = to->boot;
    to->appraisal.boot_count = n;
    return r;
}

/* ---- the whole ---- */

static int read_platforms(struct policy_parser *p, json_t *root)
{
    json_t *list;
    int r = json_get_array(root, "platforms", &list, p->where, p->err);
    size_t n = r == 0 ? json_array_size(list) : 0;
    const char **names = keep(p, (n + 1) * sizeof(*names));
    if (r == 0 && !names)
        return policy_no_memory(p);
    for (size_t i = 0; r == 0 && i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name)
            return error_set(p->err, EINVAL, "%s: \"platforms\"[%zu]: expected a string", p->where,
                             i);
        names[i] = policy_keep(p->policy, name, strlen(name) + 1);
        if (!names[i])
            return policy_no_memory(p);
    }
    p->policy->appraisal.platforms = names;
    return r;
}

static int read_waivers(struct policy_parser *p, json_t *root)
{
    waiver_set set = WAIVERS_NONE;
    json_t *list;
    int r = policy_get_list(p, root, "waive", POLICY_LIST_MAX, &list);
    for (size_t i = 0; r == 0 && list && i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        int w = name ? waiver_by_name(name) : -1;
        if (w < 0)
            return error_hint(p->err,
                              error_set(p->err, EINVAL,
                                        "%s: \"waive\"[%zu]: no rule is called "
                                        "\"%.100s\"",
                                        p->where, i, name ? name : ""),
                              "the rules and their reasons are in encroot-policy(5)");
        set |= (waiver_set)1 << w;
    }
    p->policy->appraisal.platform.waivers = set;
    p->policy->appraisal.records.waivers = set;
    return r;
}

static int read_volume(struct policy_parser *p, json_t *root)
{
    const char *text;
    if (!json_object_get(root, "volume"))
        return 0;
    int r = json_get_string(root, "volume", &text, p->where, p->err);
    if (r == 0 && uuid_parse(text, p->policy->volume) < 0)
        r = error_set(p->err, EINVAL, "%s: \"volume\": \"%.100s\" is not a UUID", p->where, text);
    p->policy->appraisal.volume = p->policy->volume;
    return r;
}

static int read_root(struct policy_parser *p, json_t *root)
{
    static const char *const known[] = {"version",  "volume", "platforms", "rim",   "trust",
                                        "platform", "boot",   "records",   "waive", NULL};
    struct appraisal_policy *to = &p->policy->appraisal;
    uint64_t version;
    if (!json_is_object(root))
        return error_set(p->err, EINVAL, "%s: not a JSON object", p->where);
    int r = json_get_uint(root, "version", UINT32_MAX, &version, p->where, p->err);
    if (r == 0 && version != POLICY_VERSION)
        r = error_set(p->err, EINVAL, "%s: \"version\": expected %d, found %u", p->where,
                      POLICY_VERSION, (unsigned)version);
    if (r == 0)
        r = json_only_keys(root, known, p->where, p->err);
    if (r == 0)
        r = read_volume(p, root);
    if (r == 0)
        r = read_platforms(p, root);
    if (r == 0)
        r = policy_read_digests(p, root, "rim", &to->initial, &to->initial_count);
    if (r == 0)
        r = policy_read_trust(p, root);
    if (r == 0)
        r = read_platform(p, root);
    if (r == 0)
        r = read_boot(p, root);
    if (r == 0)
        r = policy_read_digests(p, root, "records", &to->records.digests, &to->records.count);
    return r < 0 ? r : read_waivers(p, root);
}

int policy_parse(struct policy **ret, struct bytes json, const char *name, const char *folder,
                 struct error *err)
{
    _json_ json_t *root = NULL;
    _policy_ struct policy *policy = calloc(1, sizeof(*policy));
    struct policy_parser p = {.policy = policy, .folder = folder, .err = err};
    if (!policy)
        return policy_no_memory(&p);
    snprintf(p.where, sizeof(p.where), "%.300s", name);
    int r = json_parse(&root, json, name, err);
    if (r == 0)
        r = read_root(&p, root);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(policy);
    return 0;
}

int policy_load_file(struct policy **ret, const char *path, struct error *err)
{
    _buffer_ struct buffer text = {0};
    _free_ char *copy = strdup(path);
    if (!copy)
        return error_set(err, ENOMEM, "out of memory");
    int r = read_file(path, POLICY_FILE_MAX, &text, err);
    return r < 0 ? r : policy_parse(ret, buffer_bytes(&text), path, dirname(copy), err);
}
