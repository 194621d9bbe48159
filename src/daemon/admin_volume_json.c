/* A volume as JSON: what is told of it, and what can be set. */
#include "daemon/admin.h"
#include "base/hex.h"
#include "daemon/seals.h"

#include <string.h>

#define WHERE "request"
#define PAGE 16 /* of reference values that are read at once */

/* ---- told ---- */
static const char *const approvals[] = {
    [STORE_APPROVAL_AUTO] = "auto", [STORE_APPROVAL_MANUAL] = "manual"};

static json_t *rate_json(const struct store_volume *v)
{
    if (v->rate_count == 0)
        return json_null();
    return json_pack("{s:I, s:I}", "count", (json_int_t)v->rate_count, "seconds",
                     (json_int_t)v->rate_seconds);
}

int admin_put_settings(json_t *j, const struct store_volume *v)
{
    return json_object_set_new(j, "name", json_string(v->name)) |
           json_object_set_new(j, "enabled", json_boolean(v->enabled)) |
           json_object_set_new(j, "approval", json_string(approvals[v->approval])) |
           json_object_set_new(j, "rate", rate_json(v)) |
           json_object_set_new(j, "not_before", admin_time(v->not_before)) |
           json_object_set_new(j, "not_after", admin_time(v->not_after));
}

static int put_heads(struct admin_call *c, const uint8_t uuid[16], json_t *list, struct error *err)
{
    struct store_values page[PAGE];
    uint32_t after = 0;
    int n;
    do {
        memset(page, 0, sizeof(page));
        n = store_values_heads(c->admin->store, uuid, after, page, PAGE, err);
        for (int i = 0; i < n; i++) {
            const struct store_values *v = &page[i];
            after = v->version;
            if (json_array_append_new(list, json_pack("{s:I, s:b, s:o, s:s}", "version",
                                                      (json_int_t)v->version, "valid", v->valid,
                                                      "created", admin_time(v->created), "label",
                                                      v->label)) < 0)
                return error_set(err, ENOMEM, "out of memory");
        }
    } while (n == PAGE);
    return n < 0 ? n : 0;
}

int admin_volume_json(struct admin_call *c, const struct store_volume *v, json_t **ret,
                      struct error *err)
{
    _json_ json_t *j = json_object();
    _json_ json_t *values = json_array();
    if (json_object_set_new(j, "uuid", admin_uuid(v->uuid)) | admin_put_settings(j, v) |
        json_object_set_new(j, "revision", json_integer((json_int_t)v->revision)) |
        json_object_set_new(j, "created", admin_time(v->created)) |
        json_object_set_new(j, "changed", admin_time(v->changed)) |
        json_object_set_new(j, "sealed",
                            json_boolean(volume_check_seal(v, c->admin->seals, NULL) == 0)) |
        json_object_set(j, "values", values))
        return error_set(err, ENOMEM, "out of memory");
    int r = put_heads(c, v->uuid, values, err);
    if (r == 0)
        *ret = TAKE_PTR(j);
    return r;
}

/* ---- set ---- */
/* A name may also stand where a uuid stands, so it must not look like another volume's. */
static int read_name(const json_t *j, struct store_volume *v, struct error *err)
{
    uint8_t uuid[16];
    const char *text = json_string_value(j);
    size_t n = text ? strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "._-")
                    : 0;
    if (n == 0 || text[n] || n > STORE_NAME_MAX || strchr("._-", text[0]))
        return error_set(err, EINVAL,
                         WHERE ": \"name\": expected 1 to %d letters, digits, \".\", \"_\", \"-\", "
                               "the first a letter or digit",
                         STORE_NAME_MAX);
    if (uuid_parse(text, uuid) == 0 && memcmp(uuid, v->uuid, 16) != 0)
        return error_set(err, EINVAL, WHERE ": \"name\": %s is the UUID of another volume", text);
    memcpy(v->name, text, n + 1);
    return 0;
}

static int read_enabled(const json_t *j, struct store_volume *v, struct error *err)
{
    if (!json_is_boolean(j))
        return error_set(err, EINVAL, WHERE ": \"enabled\" must be true or false");
    v->enabled = json_is_true(j);
    return 0;
}

static int read_approval(const json_t *j, struct store_volume *v, struct error *err)
{
    const char *text = json_string_value(j);
    for (size_t i = 0; text && i < ARRAY_SIZE(approvals); i++)
        if (strcmp(text, approvals[i]) == 0) {
            v->approval = (enum store_approval)i;
            return 0;
        }
    return error_set(err, EINVAL, WHERE ": \"approval\" must be \"auto\" or \"manual\"");
}

static int read_rate(const json_t *j, struct store_volume *v, struct error *err)
{
    static const char *const known[] = {"count", "seconds", NULL};
    uint64_t count = 0, seconds = 0;
    int r = 0;
    if (!json_is_null(j)) {
        if (!json_is_object(j))
            return error_set(err, EINVAL, WHERE ": \"rate\" must be an object or null");
        r = json_only_keys((json_t *)(uintptr_t)j, known, WHERE ": rate", err);
        if (r == 0)
            r = json_get_uint(j, "count", 1000000, &count, WHERE ": rate", err);
        if (r == 0)
            r = json_get_uint(j, "seconds", 366 * 86400, &seconds, WHERE ": rate", err);
        if (r == 0 && (count == 0 || seconds == 0))
            r = error_hint(err,
                           error_set(err, EINVAL,
                                     WHERE ": rate: \"count\" and \"seconds\" must be at least 1"),
                           "null is no limit; to refuse all, disable the volume");
    }
    if (r == 0) {
        v->rate_count = (uint32_t)count;
        v->rate_seconds = (uint32_t)seconds;
    }
    return r;
}

static int read_limit(const json_t *j, const char *key, time_t *ret, struct error *err)
{
    if (json_is_null(j)) {
        *ret = 0;
        return 0;
    }
    if (!json_is_string(j))
        return error_set(err, EINVAL, WHERE ": \"%s\" must be a time or null", key);
    return admin_parse_time(json_string_value(j), key, ret, err);
}

static int read_not_before(const json_t *j, struct store_volume *v, struct error *err)
{
    return read_limit(j, "not_before", &v->not_before, err);
}

static int read_not_after(const json_t *j, struct store_volume *v, struct error *err)
{
    return read_limit(j, "not_after", &v->not_after, err);
}

static const struct {
    const char *key;
    int (*read)(const json_t *j, struct store_volume *v, struct error *err);
} settings[] = {
    {"name", read_name}, {"enabled", read_enabled},       {"approval", read_approval},
    {"rate", read_rate}, {"not_before", read_not_before}, {"not_after", read_not_after},
};

int admin_read_settings(json_t *j, struct store_volume *v, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(settings); i++) {
        const json_t *member = json_object_get(j, settings[i].key);
        if (member)
            r = settings[i].read(member, v, err);
    }
    if (r == 0 && v->not_before && v->not_after && v->not_before >= v->not_after)
        r = error_set(err, EINVAL,
                      WHERE ": \"not_before\" is not before \"not_after\": nothing would ever be "
                            "released");
    return r;
}
