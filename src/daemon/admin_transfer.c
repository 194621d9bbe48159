/* A volume as a whole, coming in and going out: registration, export and import are one format. */
#include "daemon/admin.h"
#include "base/hex.h"
#include "crypto/base64.h"

#include <string.h>

#define TRANSFER_VERSION 1
#define WHERE "request"

struct arrival {
    struct admin_volume whole;
    struct secret *secret;
    json_t *result;
};

static void arrival_free(struct arrival *a)
{
    admin_volume_free(&a->whole);
    secret_free(a->secret);
    json_decref(a->result);
}

/* ---- coming in ---- */
/* No error text here says what was found: it could be most of a secret. */
static int read_secret(const json_t *j, struct secret **ret, struct error *err)
{
    const json_t *member = json_object_get(j, "secret");
    struct buffer plain = {0};
    if (!json_is_string(member))
        return error_hint(err, error_set(err, EINVAL, WHERE ": \"secret\" is missing"),
                          "an export has it only if it was asked for: `encroot volume export "
                          "--with-secret`");
    if (buffer_reserve(&plain, json_string_length(member)) < 0)
        return error_set(err, ENOMEM, "out of memory");
    int r = base64_decode(BYTES(json_string_value(member), json_string_length(member)), &plain);
    struct secret *s =
        r == 0 && plain.size == VOLUME_SECRET_SIZE ? secret_new(VOLUME_SECRET_SIZE) : NULL;
    if (s)
        memcpy(secret_data(s), plain.data, VOLUME_SECRET_SIZE);
    else if (r == 0 && plain.size == VOLUME_SECRET_SIZE)
        r = error_set(err, ENOMEM, "no locked memory for a secret");
    else
        r = error_set(err, EINVAL, WHERE ": \"secret\": expected %d bytes in base64",
                      VOLUME_SECRET_SIZE);
    wipe(plain.data, plain.capacity);
    buffer_free(&plain);
    if (r == 0)
        *ret = s;
    return r;
}

static int read_version(json_t *j, size_t i, struct store_values *ret, struct error *err)
{
    static const char *const known[] = {"label", "text", "valid", NULL};
    char where[48];
    bool valid = true;
    snprintf(where, sizeof(where), WHERE ": values[%zu]", i);
    if (!json_is_object(j))
        return error_set(err, EINVAL, "%s: expected an object", where);
    int r = json_only_keys(j, known, where, err);
    if (r == 0 && json_object_get(j, "valid"))
        r = json_get_bool(j, "valid", &valid, where, err);
    if (r == 0)
        r = admin_read_values(j, where, ret, err);
    if (r == 0) {
        ret->valid = valid;
        ret->version = (uint32_t)i + 1;
    }
    return r;
}

static int read_versions(json_t *j, struct admin_volume *to, struct error *err)
{
    json_t *list;
    if (!json_object_get(j, "values"))
        return 0;
    int r = json_get_array(j, "values", &list, WHERE, err);
    size_t n = r == 0 ? json_array_size(list) : 0;
    if (n > ADMIN_LIST_MAX)
        return error_set(err, EINVAL, WHERE ": \"values\": at most %d versions", ADMIN_LIST_MAX);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct store_values v = {0};
        r = read_version(json_array_get(list, i), i, &v, err);
        if (r == 0)
            r = admin_volume_add_values(to, &v, err);
        buffer_free(&v.text);
    }
    return r;
}

static int read_policy(json_t *j, struct buffer *ret, struct error *err)
{
    json_t *policy;
    int r = json_get_object(j, "policy", &policy, WHERE, err);
    _free_ char *text = r == 0 ? json_dumps(policy, JSON_COMPACT) : NULL;
    if (r == 0 && (!text || buffer_append(ret, text, strlen(text)) < 0))
        r = error_set(err, ENOMEM, "out of memory");
    return r;
}

static int read_identity(json_t *j, struct store_volume *v, struct error *err)
{
    const char *uuid;
    uint64_t version = TRANSFER_VERSION;
    int r = json_object_get(j, "version")
                ? json_get_uint(j, "version", INT32_MAX, &version, WHERE, err)
                : 0;
    if (r == 0 && version != TRANSFER_VERSION)
        r = error_set(err, EINVAL, WHERE ": \"version\": expected %d, found %u", TRANSFER_VERSION,
                      (unsigned)version);
    if (r == 0)
        r = json_get_string(j, "uuid", &uuid, WHERE, err);
    if (r == 0 && uuid_parse(uuid, v->uuid) < 0)
        r = error_set(err, EINVAL, WHERE ": \"uuid\": \"%.40s\" is not a UUID", uuid);
    if (r < 0)
        return r;
    uuid_format(v->uuid, v->name);
    v->enabled = true;
    v->revision = 1;
    v->created = v->changed = time(NULL);
    return admin_read_settings(j, v, err);
}

static int read_arrival(json_t *j, struct arrival *a, struct error *err)
{
    static const char *const known[] = {"version",    "uuid",      "name",    "secret",
                                        "policy",     "values",    "enabled", "approval",
                                        "not_before", "not_after", "rate",    NULL};
    int r = json_only_keys(j, known, WHERE, err);
    if (r == 0)
        r = read_identity(j, &a->whole.volume, err);
    if (r == 0)
        r = read_secret(j, &a->secret, err);
    if (r == 0)
        r = read_policy(j, &a->whole.policy, err);
    return r < 0 ? r : read_versions(j, &a->whole, err);
}

static int add_values(struct admin_call *c, const struct arrival *a, struct error *err)
{
    uint32_t version;
    for (size_t i = 0; i < a->whole.count; i++) {
        int r = store_values_add(c->admin->store, a->whole.volume.uuid, &a->whole.values[i],
                                 &version, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add(struct admin_call *c, void *arg, struct error *err)
{
    struct arrival *a = arg;
    const struct admin_volume *w = &a->whole;
    struct store *s = c->admin->store;
    int r =
        store_volume_add(s, &w->volume, buffer_bytes(&w->policy), buffer_bytes(&w->effective), err);
    if (r == -EEXIST)
        return error_hint(err,
                          error_set(err, EEXIST,
                                    "there is a volume of this UUID or the name \"%s\"",
                                    w->volume.name),
                          "`encroot volume show` shows it; `encroot volume remove` forgets it and "
                          "its secret");
    if (r == 0)
        r = add_values(c, a, err);
    if (r < 0)
        return r;
    change_note(&c->change, CHANGE_VOLUME_ADD, w->volume.uuid, "%s", w->volume.name);
    _store_volume_ struct store_volume now = {0};
    r = store_volume_get(s, w->volume.uuid, &now, err);
    return r < 0 ? r : admin_volume_json(c, &now, &a->result, err);
}

/* The keeper is asked before the transaction begins: it writes to the same store. */
int admin_add_volume(struct admin_call *c, struct error *err)
{
    struct arrival a = {0};
    int r = read_arrival(c->body, &a, err);
    if (r == 0)
        r = admin_vault_wrap(c->admin, a.whole.volume.uuid, a.secret, &a.whole.volume.wrapped, err);
    if (r == 0)
        r = admin_volume_seal(c, &a.whole, err);
    if (r == 0)
        r = admin_change(c, add, &a, err);
    if (r == 0)
        r = admin_reply_json(c, 201, TAKE_PTR(a.result), err);
    arrival_free(&a);
    return r;
}

/* ---- going out ---- */
struct departure {
    struct store_volume volume;
    json_t *out;
};

static int put_versions(const struct admin_volume *a, json_t *list, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < a->count && r == 0; i++) {
        const struct store_values *v = &a->values[i];
        json_t *text = NULL;
        r = admin_parse_stored(&text, buffer_bytes(&v->text), "the stored reference values", err);
        if (r == 0 && json_array_append_new(list, json_pack("{s:s, s:b, s:o}", "label", v->label,
                                                            "valid", v->valid, "text", text)) < 0)
            r = error_set(err, ENOMEM, "out of memory");
    }
    return r;
}

/* In one transaction, so that all of it is of one time. */
static int collect(struct admin_call *c, void *arg, struct error *err)
{
    struct departure *d = arg;
    _admin_volume_ struct admin_volume a = {0};
    _json_ json_t *policy = NULL;
    _json_ json_t *values = json_array();
    int r = admin_volume_open(c, &a, err);
    if (r == 0)
        r = admin_parse_stored(&policy, buffer_bytes(&a.policy), "the stored policy", err);
    if (r == 0)
        r = put_versions(&a, values, err);
    if (r < 0)
        return r;
    d->volume = a.volume;
    a.volume = (struct store_volume){0};
    d->out =
        json_pack("{s:i, s:o}", "version", TRANSFER_VERSION, "uuid", admin_uuid(d->volume.uuid));
    if (!d->out || admin_put_settings(d->out, &d->volume) |
                       json_object_set(d->out, "policy", policy) |
                       json_object_set(d->out, "values", values))
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

static int put_secret(struct admin_call *c, struct departure *d, struct error *err)
{
    _secret_ struct secret *s = NULL;
    struct buffer text = {0};
    int r = admin_vault_unwrap(c, d->volume.uuid, buffer_bytes(&d->volume.wrapped), &s, err);
    if (r < 0)
        return r;
    if (buffer_reserve(&text, 64) < 0 || base64_encode(secret_bytes(s), &text) < 0 ||
        json_object_set_new(d->out, "secret", json_stringn((const char *)text.data, text.size)) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    if (text.data)
        wipe(text.data, text.capacity);
    buffer_free(&text);
    return r;
}

int admin_export_volume(struct admin_call *c, struct error *err)
{
    struct departure d = {0};
    bool secret;
    int r = admin_query_flag(c, "secret", &secret, err);
    if (r == 0 && secret && c->user->role < ADMIN_ADMIN)
        r = error_set(err, EACCES, "%s may read, but no secrets", c->user->name);
    if (r == 0)
        r = admin_look(c, collect, &d, err);
    if (r == 0 && secret)
        r = put_secret(c, &d, err);
    if (r == 0)
        r = admin_reply_json(c, 200, TAKE_PTR(d.out), err);
    json_decref(d.out);
    store_volume_free(&d.volume);
    return r;
}
