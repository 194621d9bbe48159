/* What the parts of a policy are made of: lists of values, words, objects, files. */
#include "appraise/policy_parser.h"
#include "base/hex.h"
#include "base/io.h"

#include <string.h>

int policy_no_memory(struct policy_parser *p)
{
    return error_set(p->err, ENOMEM, "out of memory");
}

/* `size` bytes without content, which live as long as the policy. */
static void *keep(struct policy_parser *p, size_t size)
{
    return policy_keep(p->policy, NULL, size);
}

/* ---- lists of values ---- */

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

int policy_get_list(struct policy_parser *p, json_t *object, const char *key, size_t max,
                    json_t **ret)
{
    *ret = NULL;
    if (!json_object_get(object, key))
        return 0;
    int r = json_get_array(object, key, ret, p->where, p->err);
    if (r == 0 && json_array_size(*ret) > max)
        r = error_set(p->err, EINVAL, "%s: \"%s\": more than %zu entries", p->where, key, max);
    return r;
}

static int get_value(struct policy_parser *p, json_t *list, size_t i, const char *key,
                     enum value_kind kind, struct bytes *ret)
{
    const char *text = json_string_value(json_array_get(list, i));
    size_t size = 0;
    uint8_t *out = text ? keep(p, strlen(text) + DIGEST_MAX) : NULL;
    if (text && !out)
        return policy_no_memory(p);
    if (!text || !values[kind].read(text, out, &size))
        return error_set(p->err, EINVAL, "%s: \"%s\"[%zu]: expected %s, found %s%.100s%s", p->where,
                         key, i, values[kind].expected, text ? "\"" : "", text ? text : "no string",
                         text ? "\"" : "");
    *ret = BYTES(out, size);
    return 0;
}

int policy_read_values(struct policy_parser *p, json_t *object, const struct list_member *m,
                       void *to)
{
    json_t *list;
    int r = policy_get_list(p, object, m->key, POLICY_LIST_MAX, &list);
    size_t n = list ? json_array_size(list) : 0;
    if (r < 0 || n == 0)
        return r;
    struct bytes *out = keep(p, n * sizeof(*out));
    if (!out)
        return policy_no_memory(p);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = get_value(p, list, i, m->key, m->kind, &out[i]);
    if (r == 0)
        *(struct value_set *)((char *)to + m->offset) = (struct value_set){out, n};
    return r;
}

int policy_read_value_sets(struct policy_parser *p, json_t *object, const struct list_member *m,
                           void *to)
{
    int r = 0;
    for (; r == 0 && m->key; m++)
        r = policy_read_values(p, object, m, to);
    return r;
}

int policy_read_digests(struct policy_parser *p, json_t *root, const char *key,
                        const struct digest **ret, size_t *ret_count)
{
    json_t *list;
    int r = policy_get_list(p, root, key, POLICY_LIST_MAX, &list);
    size_t n = list ? json_array_size(list) : 0;
    if (r < 0 || n == 0)
        return r;
    struct digest *out = keep(p, n * sizeof(*out));
    if (!out)
        return policy_no_memory(p);
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
int policy_get_object(struct policy_parser *p, json_t *parent, const char *key,
                      const char *const known[], json_t **ret, struct policy_parser *inner)
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
int policy_read_file(struct policy_parser *p, const char *name, size_t max, struct buffer *ret)
{
    _free_ char *path = NULL;
    if (!p->folder)
        return error_set(p->err, EINVAL, "%s: \"%.200s\": this policy cannot name files", p->where,
                         name);
    if (asprintf(&path, "%s%s%s", name[0] == '/' ? "" : p->folder, name[0] == '/' ? "" : "/",
                 name) < 0) {
        path = NULL;
        return policy_no_memory(p);
    }
    int r = read_file(path, max, ret, p->err);
    return r < 0 ? error_prefix(p->err, r, "%s", p->where) : 0;
}

/* One of two words; absent: the first. */
int policy_read_choice(struct policy_parser *p, json_t *object, const char *key, const char *first,
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
