/* The JSON of encroot-policy(5). Members are tables; each list and each object has one reader. */
#include "appraise/policy.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/json.h"
#include "crypto/crl.h"

#include <libgen.h>
#include <string.h>

#define POLICY_VERSION 1
#define REFERENCE_FILE_MAX ((size_t)4 << 20)
#define WHERE_MAX 320

/* What is being read, and where in it. */
struct parser {
    struct policy *policy;
    const char *folder;    /* NULL: no files */
    char where[WHERE_MAX]; /* "policy.json: platform" */
    struct error *err;
};

static int no_memory(struct parser *p)
{
    return error_set(p->err, ENOMEM, "out of memory");
}

/* `size` bytes without content, which live as long as the policy. */
static void *keep(struct parser *p, size_t size)
{
    return policy_keep(p->policy, NULL, size);
}

/* ---- lists of values ---- */

enum value_kind {
    VALUE_TEXT,
    VALUE_HEX,    /* 1 to 64 bytes */
    VALUE_SHA256, /* 32 bytes of hex */
    VALUE_LIFECYCLE,
};

struct list_member {
    const char *key;
    enum value_kind kind;
    size_t offset; /* of the struct value_set */
};

static const char *const lifecycles[] = {
    "unknown",       "assembly-and-test",          "platform-rot-provisioning",
    "secured",       "non-cca-platform-rot-debug", "recoverable-cca-platform-rot-debug",
    "decommissioned"};

const char *lifecycle_name(uint8_t high)
{
    size_t i = high >> 4;
    return high & 15 || i >= ARRAY_SIZE(lifecycles) ? NULL : lifecycles[i];
}

static bool value_of_text(const char *text, uint8_t *out, size_t *size)
{
    *size = strlen(text);
    if (*size > 0)
        memcpy(out, text, *size);
    return *size > 0;
}

static bool value_of_hex(const char *text, uint8_t *out, size_t *size)
{
    *size = strlen(text) / 2;
    return *size >= 1 && *size <= DIGEST_MAX && hex_decode(text, out, *size) == 0;
}

static bool value_of_sha256(const char *text, uint8_t *out, size_t *size)
{
    *size = 32;
    return hex_decode(text, out, 32) == 0;
}

static bool value_of_lifecycle(const char *text, uint8_t *out, size_t *size)
{
    *size = 1;
    for (size_t i = 0; i < ARRAY_SIZE(lifecycles); i++)
        if (strcmp(lifecycles[i], text) == 0) {
            *out = (uint8_t)(i << 4);
            return true;
        }
    return false;
}

static const struct {
    bool (*read)(const char *text, uint8_t *out, size_t *size);
    const char *expected;
} values[] = {
    [VALUE_TEXT] = {value_of_text, "a text"},
    [VALUE_HEX] = {value_of_hex, "2 to 128 hexadecimal digits"},
    [VALUE_SHA256] = {value_of_sha256, "64 hexadecimal digits"},
    [VALUE_LIFECYCLE] = {value_of_lifecycle,
                         "unknown, assembly-and-test, platform-rot-provisioning, secured, "
                         "non-cca-platform-rot-debug, recoverable-cca-platform-rot-debug or "
                         "decommissioned"},
};

/* A member that may be absent: then *ret is NULL. */
static int get_list(struct parser *p, json_t *object, const char *key, size_t max, json_t **ret)
{
    *ret = NULL;
    if (!json_object_get(object, key))
        return 0;
    int r = json_get_array(object, key, ret, p->where, p->err);
    if (r == 0 && json_array_size(*ret) > max)
        r = error_set(p->err, EINVAL, "%s: \"%s\": more than %zu entries", p->where, key, max);
    return r;
}

static int get_value(struct parser *p, json_t *list, size_t i, const char *key,
                     enum value_kind kind, struct bytes *ret)
{
    const char *text = json_string_value(json_array_get(list, i));
    size_t size = 0;
    uint8_t *out = text ? keep(p, strlen(text) + DIGEST_MAX) : NULL;
    if (text && !out)
        return no_memory(p);
    if (!text || !values[kind].read(text, out, &size))
        return error_set(p->err, EINVAL, "%s: \"%s\"[%zu]: expected %s, found %s%.100s%s", p->where,
                         key, i, values[kind].expected, text ? "\"" : "", text ? text : "no string",
                         text ? "\"" : "");
    *ret = BYTES(out, size);
    return 0;
}

static int read_values(struct parser *p, json_t *object, const struct list_member *m, void *to)
{
    json_t *list;
    int r = get_list(p, object, m->key, POLICY_LIST_MAX, &list);
    size_t n = list ? json_array_size(list) : 0;
    if (r < 0 || n == 0)
        return r;
    struct bytes *out = keep(p, n * sizeof(*out));
    if (!out)
        return no_memory(p);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = get_value(p, list, i, m->key, m->kind, &out[i]);
    if (r == 0)
        *(struct value_set *)((char *)to + m->offset) = (struct value_set){out, n};
    return r;
}

static int read_value_sets(struct parser *p, json_t *object, const struct list_member *m, void *to)
{
    int r = 0;
    for (; r == 0 && m->key; m++)
        r = read_values(p, object, m, to);
    return r;
}

static int read_digests(struct parser *p, json_t *root, const char *key, const struct digest **ret,
                        size_t *ret_count)
{
    json_t *list;
    int r = get_list(p, root, key, POLICY_LIST_MAX, &list);
    size_t n = list ? json_array_size(list) : 0;
    if (r < 0 || n == 0)
        return r;
    struct digest *out = keep(p, n * sizeof(*out));
    if (!out)
        return no_memory(p);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || policy_digest(&out[i], text) < 0)
            return error_set(p->err, EINVAL,
                             "%s: \"%s\"[%zu]: expected 64, 96 or 128 hexadecimal digits, found "
                             "\"%.140s\"",
                             p->where, key, i, text ? text : "no string");
    }
    *ret = out;
    *ret_count = n;
    return 0;
}

/* ---- objects ---- */

/* The object `key`, absent or with no member but the `known`; `inner` reads below it. */
static int get_object(struct parser *p, json_t *parent, const char *key, const char *const known[],
                      json_t **ret, struct parser *inner)
{
    *ret = NULL;
    if (!json_object_get(parent, key))
        return 0;
    *inner = *p;
    snprintf(inner->where, sizeof(inner->where), "%.250s: %s", p->where, key);
    int r = json_get_object(parent, key, ret, p->where, p->err);
    return r < 0 ? r : json_only_keys(*ret, known, inner->where, p->err);
}

/* A file that the policy names. */
static int read_named_file(struct parser *p, const char *name, size_t max, struct buffer *ret)
{
    _free_ char *path = NULL;
    if (!p->folder)
        return error_set(p->err, EINVAL, "%s: \"%.200s\": this policy cannot name files", p->where,
                         name);
    if (asprintf(&path, "%s%s%s", name[0] == '/' ? "" : p->folder, name[0] == '/' ? "" : "/",
                 name) < 0) {
        path = NULL;
        return no_memory(p);
    }
    int r = read_file(path, max, ret, p->err);
    return r < 0 ? error_prefix(p->err, r, "%s", p->where) : 0;
}

/* One of two words; absent: the first. */
static int read_choice(struct parser *p, json_t *object, const char *key, const char *first,
                       const char *second, bool *ret)
{
    const json_t *v = json_object_get(object, key);
    const char *text = v ? json_string_value(v) : first;
    if (!text || (strcmp(text, first) != 0 && strcmp(text, second) != 0))
        return error_set(p->err, EINVAL, "%s: \"%s\": expected \"%s\" or \"%s\"", p->where, key,
                         first, second);
    *ret = strcmp(text, second) == 0;
    return 0;
}

/* ---- "trust" ---- */

static const struct list_member trust_lists[] = {
    {"subjects", VALUE_TEXT, offsetof(struct platform_policy, subjects)},
    {"keys", VALUE_SHA256, offsetof(struct platform_policy, keys)},
    {NULL, 0, 0},
};

static bool is_pinned(const struct value_set *pins, struct bytes certificate, bool seen[])
{
    _x509_ X509 *c = NULL;
    uint8_t hash[32];
    if (certificate_parse(&c, certificate, NULL) < 0 || certificate_sha256(c, hash) < 0)
        return false;
    for (size_t i = 0; i < pins->count; i++)
        if (memcmp(pins->list[i].data, hash, 32) == 0)
            return seen[i] = true;
    return false;
}

/* The text itself if it is PEM, else the file that it names. */
static int read_pem(struct parser *p, const char *text, size_t max, struct buffer *file,
                    struct bytes *ret)
{
    *ret = BYTES_STR(text);
    if (strncmp(text, "-----BEGIN ", 11) == 0)
        return 0;
    int r = read_named_file(p, text, max, file);
    *ret = buffer_bytes(file);
    return r;
}

static int add_certificate(struct parser *p, const char *text, const struct value_set *pins,
                           bool seen[])
{
    _buffer_ struct buffer file = {0};
    struct bytes in;
    int r = read_pem(p, text, CERTIFICATE_MAX, &file, &in);
    if (r == 0)
        r = trust_anchors_add(p->policy->anchors, in, is_pinned(pins, in, seen), p->err);
    return r < 0 ? error_prefix(p->err, r, "%s: \"%.100s\"", p->where, text) : 0;
}

static int add_lists(struct parser *p, json_t *trust)
{
    json_t *list;
    int r = get_list(p, trust, "revocation_lists", POLICY_LIST_MAX, &list);
    for (size_t i = 0; r == 0 && list && i < json_array_size(list); i++) {
        _buffer_ struct buffer file = {0};
        struct bytes in;
        const char *text = json_string_value(json_array_get(list, i));
        if (!text)
            return error_set(p->err, EINVAL, "%s: \"revocation_lists\"[%zu]: expected a string",
                             p->where, i);
        r = read_pem(p, text, CRL_MAX, &file, &in);
        if (r == 0)
            r = trust_anchors_add_crl(p->policy->anchors, in, p->err);
        if (r < 0)
            return error_prefix(p->err, r, "%s: \"%.100s\"", p->where, text);
    }
    return r;
}

static int add_certificates(struct parser *p, json_t *trust, const struct value_set *pins)
{
    json_t *list;
    _free_ bool *seen = calloc(pins->count + 1, sizeof(*seen));
    int r = seen ? get_list(p, trust, "certificates", POLICY_LIST_MAX, &list) : no_memory(p);
    for (size_t i = 0; r == 0 && list && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        r = text ? add_certificate(p, text, pins, seen)
                 : error_set(p->err, EINVAL, "%s: \"certificates\"[%zu]: expected a string",
                             p->where, i);
    }
    for (size_t i = 0; r == 0 && i < pins->count; i++) {
        char hex[65];
        hex_encode(pins->list[i], hex);
        if (!seen[i])
            r = error_set(p->err, EINVAL,
                          "%s: the root %s is pinned, but is not among the \"certificates\"",
                          p->where, hex);
    }
    return r;
}

static int read_trust(struct parser *outer, json_t *root)
{
    static const char *const known[] = {
        "roots", "certificates", "revocation_lists", "revocation", "dates", "subjects", "keys",
        NULL};
    static const struct list_member roots = {"roots", VALUE_SHA256, 0};
    struct value_set pins = {0};
    struct parser inner;
    json_t *trust;
    int r = get_object(outer, root, "trust", known, &trust, &inner);
    if (r < 0 || !trust)
        return r;
    r = trust_anchors_new(&inner.policy->anchors, inner.err);
    if (r == 0)
        r = read_values(&inner, trust, &roots, &pins);
    if (r == 0)
        r = add_certificates(&inner, trust, &pins);
    struct platform_policy *to = &inner.policy->appraisal.platform;
    if (r == 0)
        r = add_lists(&inner, trust);
    if (r == 0)
        r = read_choice(&inner, trust, "revocation", "if-present", "required",
                        &to->chain.revocation_required);
    if (r == 0)
        r = read_choice(&inner, trust, "dates", "ignored", "checked", &to->chain.dates);
    if (r == 0)
        r = read_value_sets(&inner, trust, trust_lists, to);
    to->anchors = inner.policy->anchors;
    return r;
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

static int keep_text(struct parser *p, json_t *object, const char *key, struct bytes *ret)
{
    const char *text;
    int r = json_get_string(object, key, &text, p->where, p->err);
    if (r < 0)
        return r;
    char *copy = policy_keep(p->policy, text, strlen(text) + 1);
    if (!copy)
        return no_memory(p);
    *ret = BYTES_STR(copy);
    return 0;
}

static int read_component(struct parser *p, json_t *j, struct component_policy *c)
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
        r = read_value_sets(p, j, component_lists, c);
    if (r == 0 && c->measurements.count == 0 && c->version_min.size == 0)
        r = error_set(p->err, EINVAL, "%s: needs \"measurements\" or \"min_version\"", p->where);
    return r;
}

static int read_components(struct parser *p, json_t *platform)
{
    json_t *list;
    int r = get_list(p, platform, "components", POLICY_LIST_MAX, &list);
    size_t n = list ? json_array_size(list) : 0;
    if (r < 0 || n == 0)
        return r;
    struct component_policy *out = keep(p, n * sizeof(*out));
    if (!out)
        return no_memory(p);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct parser inner = *p;
        snprintf(inner.where, sizeof(inner.where), "%.250s: components[%zu]", p->where, i);
        r = read_component(&inner, json_array_get(list, i), &out[i]);
    }
    p->policy->appraisal.platform.components = out;
    p->policy->appraisal.platform.component_count = n;
    return r;
}

static int read_platform(struct parser *outer, json_t *root)
{
    static const char *const known[] = {
        "token",        "lifecycle",      "profiles",   "implementation_ids",
        "instance_ids", "configurations", "components", NULL};
    struct platform_policy *to = &outer->policy->appraisal.platform;
    struct parser inner;
    json_t *platform;
    int r = get_object(outer, root, "platform", known, &platform, &inner);
    if (r < 0 || !platform)
        return r;
    r = read_choice(&inner, platform, "token", "required", "optional", &to->token_optional);
    if (r == 0)
        r = read_value_sets(&inner, platform, platform_lists, to);
    return r < 0 ? r : read_components(&inner, platform);
}

/* ---- "boot" ---- */

static int read_boot_set(struct parser *p, json_t *j, size_t i, struct reference_values *ret)
{
    _buffer_ struct buffer file = {0};
    char where[WHERE_MAX + 32];
    const char *name = json_string_value(j);
    if (name) {
        int r = read_named_file(p, name, REFERENCE_FILE_MAX, &file);
        return r < 0 ? r : reference_values_parse(ret, buffer_bytes(&file), name, p->err);
    }
    snprintf(where, sizeof(where), "%s: boot[%zu]", p->where, i);
    if (!json_is_object(j))
        return error_set(p->err, EINVAL, "%s: expected a file name or an object", where);
    _free_ char *text = json_dumps(j, JSON_COMPACT);
    return text ? reference_values_parse(ret, BYTES_STR(text), where, p->err) : no_memory(p);
}

static int read_boot(struct parser *p, json_t *root)
{
    struct policy *to = p->policy;
    json_t *list;
    int r = get_list(p, root, "boot", POLICY_BOOT_MAX, &list);
    size_t n = list ? json_array_size(list) : 0;
    if (r < 0 || n == 0)
        return r;
    to->boot = calloc(n, sizeof(*to->boot));
    if (!to->boot)
        return no_memory(p);
    to->boot_count = n;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = read_boot_set(p, json_array_get(list, i), i, &to->boot[i]);
    to->appraisal.boot = to->boot;
    to->appraisal.boot_count = n;
    return r;
}

/* ---- the whole ---- */

static int read_platforms(struct parser *p, json_t *root)
{
    json_t *list;
    int r = json_get_array(root, "platforms", &list, p->where, p->err);
    size_t n = r == 0 ? json_array_size(list) : 0;
    const char **names = keep(p, (n + 1) * sizeof(*names));
    if (r == 0 && !names)
        return no_memory(p);
    for (size_t i = 0; r == 0 && i < n; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name)
            return error_set(p->err, EINVAL, "%s: \"platforms\"[%zu]: expected a string", p->where,
                             i);
        names[i] = policy_keep(p->policy, name, strlen(name) + 1);
        if (!names[i])
            return no_memory(p);
    }
    p->policy->appraisal.platforms = names;
    return r;
}

static int read_waivers(struct parser *p, json_t *root)
{
    waiver_set set = WAIVERS_NONE;
    json_t *list;
    int r = get_list(p, root, "waive", POLICY_LIST_MAX, &list);
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

static int read_volume(struct parser *p, json_t *root)
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

static int read_root(struct parser *p, json_t *root)
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
        r = read_digests(p, root, "rim", &to->initial, &to->initial_count);
    if (r == 0)
        r = read_trust(p, root);
    if (r == 0)
        r = read_platform(p, root);
    if (r == 0)
        r = read_boot(p, root);
    if (r == 0)
        r = read_digests(p, root, "records", &to->records.digests, &to->records.count);
    return r < 0 ? r : read_waivers(p, root);
}

int policy_parse(struct policy **ret, struct bytes json, const char *name, const char *folder,
                 struct error *err)
{
    _json_ json_t *root = NULL;
    _policy_ struct policy *policy = calloc(1, sizeof(*policy));
    struct parser p = {.policy = policy, .folder = folder, .err = err};
    if (!policy)
        return no_memory(&p);
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
