/* Reference values in versions. Each change makes the effective policy anew, in one transaction:
 * what no guest could pass is refused, and then nothing has changed. */
#include "daemon/admin.h"
#include "daemon/effective_policy.h"

#include <string.h>

/* ---- POST /v1/volumes/REF/values ---- */
struct addition {
    struct store_values values;
    uint32_t version;
};

static int add(struct admin_call *c, void *arg, struct error *err)
{
    _admin_volume_ struct admin_volume v = {0};
    struct addition *a = arg;
    int r = admin_volume_open(c, &v, err);
    if (r == 0)
        r = store_values_add(c->admin->store, v.volume.uuid, &a->values, &a->version, err);
    if (r < 0)
        return r;
    change_note(&c->change, CHANGE_VALUES_ADD, v.volume.uuid, "version %u \"%s\"", a->version,
                a->values.label);
    a->values.version = a->version;
    r = admin_volume_add_values(&v, &a->values, err);
    return r < 0 ? r : admin_volume_save(c, &v, err);
}

int admin_read_values(json_t *j, const char *where, struct store_values *ret, struct error *err)
{
    json_t *object;
    const char *label = "";
    struct store_values v = {.valid = true, .created = time(NULL)};
    int r = json_object_get(j, "label") ? json_get_string(j, "label", &label, where, err) : 0;
    if (r == 0 && strlen(label) > STORE_NAME_MAX)
        r = error_set(err, EINVAL, "%s: \"label\": at most %d bytes", where, STORE_NAME_MAX);
    if (r == 0)
        r = json_get_object(j, "text", &object, where, err);
    if (r < 0)
        return r;
    char *text = json_dumps(object, JSON_COMPACT);
    if (!text)
        return error_set(err, ENOMEM, "out of memory");
    size_t n = strlen(text);
    v.text = (struct buffer){.data = (uint8_t *)text, .size = n, .capacity = n + 1};
    memcpy(v.label, label, strlen(label) + 1);
    r = effective_policy_check_values(buffer_bytes(&v.text), where, err);
    if (r < 0)
        buffer_free(&v.text);
    else
        *ret = v;
    return r;
}

int admin_add_values(struct admin_call *c, struct error *err)
{
    static const char *const known[] = {"label", "text", NULL};
    struct addition a = {0};
    int r = json_only_keys(c->body, known, "request", err);
    if (r == 0)
        r = admin_read_values(c->body, "reference values", &a.values, err);
    if (r == 0)
        r = admin_change(c, add, &a, err);
    buffer_free(&a.values.text);
    if (r < 0)
        return r;
    return admin_reply_json(c, 201, json_pack("{s:I}", "version", (json_int_t)a.version), err);
}

/* ---- /v1/volumes/REF/values/N ---- */
static int read_version(const char *text, uint32_t *ret, struct error *err)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t n = digits && digits < 11 && !text[digits] ? strtoull(text, NULL, 10) : 0;
    if (n == 0 || n > UINT32_MAX)
        return error_set(err, ENOENT, "\"%.40s\" is no version of reference values", text);
    *ret = (uint32_t)n;
    return 0;
}

static int no_version(uint32_t version, struct error *err)
{
    return error_set(err, ENOENT, "the volume has no version %u of reference values", version);
}

static json_t *values_json(const struct store_values *v, bool sealed)
{
    json_t *text = NULL;
    if (admin_parse_stored(&text, buffer_bytes(&v->text), "the stored reference values", NULL) < 0)
        text = json_null();
    return json_pack("{s:I, s:b, s:o, s:s, s:o, s:b}", "version", (json_int_t)v->version, "valid",
                     v->valid, "created", admin_time(v->created), "label", v->label, "text", text,
                     "sealed", sealed);
}

static struct store_values *find_version(const struct admin_volume *v, uint32_t version)
{
    for (size_t i = 0; i < v->count; i++)
        if (v->values[i].version == version)
            return &v->values[i];
    return NULL;
}

struct look {
    uint32_t version;
    json_t *result;
};

static int look(struct admin_call *c, void *arg, struct error *err)
{
    _admin_volume_ struct admin_volume v = {0};
    struct look *l = arg;
    int r = admin_volume_load(c, &v, err);
    const struct store_values *values = r == 0 ? find_version(&v, l->version) : NULL;
    if (r == 0 && !values)
        r = no_version(l->version, err);
    if (r == 0)
        l->result = values_json(values, admin_volume_check(c, &v, NULL) == 0);
    return r;
}

int admin_get_values(struct admin_call *c, struct error *err)
{
    struct look l = {0};
    int r = read_version(c->words[1], &l.version, err);
    if (r == 0)
        r = admin_look(c, look, &l, err);
    return admin_reply_result(c, r, l.result, err);
}

struct validity {
    uint32_t version;
    bool valid;
};

static int set_validity(struct admin_call *c, void *arg, struct error *err)
{
    _admin_volume_ struct admin_volume v = {0};
    const struct validity *a = arg;
    int r = admin_volume_open(c, &v, err);
    struct store_values *values = r == 0 ? find_version(&v, a->version) : NULL;
    if (r == 0 && !values)
        r = no_version(a->version, err);
    if (r == 0)
        r = store_values_set_valid(c->admin->store, v.volume.uuid, a->version, a->valid, err);
    if (r < 0)
        return r;
    change_note(&c->change, a->valid ? CHANGE_VALUES_ENABLE : CHANGE_VALUES_DISABLE, v.volume.uuid,
                "version %u", a->version);
    values->valid = a->valid;
    return admin_volume_save(c, &v, err);
}

int admin_change_values(struct admin_call *c, struct error *err)
{
    static const char *const known[] = {"valid", NULL};
    struct validity a = {0};
    int r = read_version(c->words[1], &a.version, err);
    if (r == 0)
        r = json_only_keys(c->body, known, "request", err);
    if (r == 0)
        r = json_get_bool(c->body, "valid", &a.valid, "request", err);
    if (r == 0)
        r = admin_change(c, set_validity, &a, err);
    if (r < 0)
        return r;
    return admin_reply_json(
        c, 200, json_pack("{s:I, s:b}", "version", (json_int_t)a.version, "valid", a.valid), err);
}
