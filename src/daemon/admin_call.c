/* What handlers share: replies, parameters, one transaction a change, texts of times. */
#include "daemon/admin.h"
#include "base/hex.h"
#include "base/utc.h"

#include <string.h>

/* ---- replies ---- */
static const struct {
    int code, status;
} statuses[] = {
    {EINVAL, 400},      {EACCES, 403},    {EPERM, 403},     {ENOENT, 404},     {ENOTSUP, 405},
    {EEXIST, 409},      {ESTALE, 409},    {EALREADY, 409},  {EBADMSG, 409},    {EFBIG, 413},
    {EMEDIUMTYPE, 415}, {EHOSTDOWN, 503}, {ETIMEDOUT, 503}, {ECONNRESET, 503}, {ENOBUFS, 503},
    {ENOMEM, 503},      {EPIPE, 503},
};

static int status_of(int r)
{
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
        if (statuses[i].code == -r)
            return statuses[i].status;
    return 500;
}

void admin_reply_free(struct admin_reply *r)
{
    if (r->body.data)
        wipe(r->body.data, r->body.capacity);
    buffer_free(&r->body);
    *r = (struct admin_reply){0};
}

void admin_call_free(struct admin_call *c)
{
    json_decref(c->body);
    c->body = NULL;
    admin_reply_free(&c->reply);
}

/* Text that has no room is written twice as large: nothing of it stays behind in freed memory,
 * for the JSON library's memory is wiped as it is freed (admin.c). */
static int put_json(struct admin_reply *reply, int status, const json_t *j)
{
    struct admin_reply next = {.status = status, .type = "application/json"};
    size_t size = json_dumpb(j, NULL, 0, JSON_COMPACT);
    if (size == 0 || buffer_reserve(&next.body, size + 1) < 0)
        return -ENOMEM;
    next.body.size = json_dumpb(j, (char *)next.body.data, size, JSON_COMPACT);
    next.body.data[next.body.size++] = '\n';
    admin_reply_free(reply);
    *reply = next;
    return 0;
}

void admin_fail(struct admin_reply *reply, int r, const struct error *err)
{
    _json_ json_t *j = json_object();
    json_object_set_new(j, "error", plain_json(err->text[0] ? err->text : strerror(-r)));
    if (err->hint[0])
        json_object_set_new(j, "hint", plain_json(err->hint));
    admin_reply_free(reply);
    if (put_json(reply, status_of(r), j) < 0)
        *reply = (struct admin_reply){.status = 503};
}

int admin_reply_json(struct admin_call *c, int status, json_t *j, struct error *err)
{
    int r = j ? put_json(&c->reply, status, j) : -ENOMEM;
    json_decref(j);
    return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

int admin_reply_result(struct admin_call *c, int r, json_t *j, struct error *err)
{
    if (r == 0)
        return admin_reply_json(c, 200, j, err);
    json_decref(j);
    return r;
}

/* ---- parameters ---- */
const char *admin_query(const struct admin_call *c, const char *key)
{
    for (size_t i = 0; i < c->query_count; i++)
        if (strcmp(c->query[i].key, key) == 0)
            return c->query[i].value;
    return NULL;
}

int admin_query_uint(const struct admin_call *c, const char *key, uint64_t fallback, uint64_t max,
                     uint64_t *ret, struct error *err)
{
    const char *text = admin_query(c, key);
    uint64_t n = fallback;
    if (text) {
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 18 || text[digits])
            return error_set(err, EINVAL, "\"%s\": expected a number, found \"%s\"", key, text);
        n = strtoull(text, NULL, 10);
    }
    *ret = n > max ? max : n;
    return 0;
}

int admin_query_flag(const struct admin_call *c, const char *key, bool *ret, struct error *err)
{
    const char *text = admin_query(c, key);
    if (text && strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return error_set(err, EINVAL, "\"%s\": expected 0 or 1, found \"%s\"", key, text);
    *ret = text && text[0] == '1';
    return 0;
}

/* ---- transactions ---- */
static int in_transaction(struct admin_call *c,
                          int (*work)(struct admin_call *c, void *arg, struct error *err),
                          void *arg, bool changes, struct error *err)
{
    struct store *s = c->admin->store;
    int r = store_begin(s, err);
    if (r == 0)
        r = work(c, arg, err);
    if (r == 0 && changes)
        r = change_record(&c->change, s, c->admin->config->name, time(NULL), err);
    if (r == 0 && changes) {
        r = store_commit(s, err);
        if (r == -EHOSTDOWN)
            error_hint(err, r, "whether it was done is not known: look before doing it again");
    }
    if (r < 0 || !changes)
        store_rollback(s);
    return r;
}

int admin_look(struct admin_call *c,
               int (*work)(struct admin_call *c, void *arg, struct error *err), void *arg,
               struct error *err)
{
    return in_transaction(c, work, arg, false, err);
}

int admin_change(struct admin_call *c,
                 int (*work)(struct admin_call *c, void *arg, struct error *err), void *arg,
                 struct error *err)
{
    snprintf(c->change.user, sizeof(c->change.user), "%s", c->user->name);
    int r = in_transaction(c, work, arg, true, err);
    if (r == 0)
        change_tell(&c->change);
    return r;
}

int admin_find_volume(struct admin_call *c, const char *ref, struct store_volume *ret,
                      struct error *err)
{
    int r = store_volume_find(c->admin->store, ref, ret, err);
    if (r == -ENOENT)
        r = error_hint(err, error_set(err, ENOENT, "there is no volume \"%.64s\"", ref),
                       "`encroot volume list` has the names of all");
    return r;
}

int admin_parse_stored(json_t **ret, struct bytes text, const char *name, struct error *err)
{
    return json_parse(ret, text, name, err) < 0 ? error_set(err, EIO, "%s is damaged", name) : 0;
}

/* ---- texts ---- */
json_t *admin_uuid(const uint8_t uuid[16])
{
    char text[UUID_TEXT_SIZE];
    uuid_format(uuid, text);
    return json_string(text);
}

json_t *admin_time(time_t t)
{
    char text[UTC_TEXT_SIZE];
    return t == 0 || utc_format(t, text) < 0 ? json_null() : json_string(text);
}

int admin_parse_time(const char *text, const char *key, time_t *ret, struct error *err)
{
    time_t t;
    if (utc_parse(text, &t) < 0 || t <= 0)
        return error_set(err, EINVAL,
                         "\"%s\": expected a time like \"2026-01-31T00:00:00Z\", found \"%.40s\"",
                         key, text);
    *ret = t;
    return 0;
}
