/* /v1/volumes: list, look, change, remove. */
#include "daemon/admin.h"
#include "daemon/seals.h"

#include <string.h>

#define PAGE 50
#define PAGE_MAX 200

/* ---- GET /v1/volumes ---- */
/* One more than asked for tells whether there are more. */
static int list(struct admin_call *c, struct store_volume *page, size_t limit, json_t *out,
                bool *ret_more, struct error *err)
{
    int n = store_volume_list(c->admin->store, admin_query(c, "after"), page, limit + 1, err);
    int r = n < 0 ? n : 0;
    for (size_t i = 0; r == 0 && i < (size_t)n && i < limit; i++) {
        json_t *j = NULL;
        r = admin_volume_json(c, &page[i], &j, err);
        if (r == 0 && json_array_append_new(out, j) < 0)
            r = error_set(err, ENOMEM, "out of memory");
    }
    for (int i = 0; i < n; i++)
        store_volume_free(&page[i]);
    *ret_more = n > 0 && (size_t)n > limit;
    return r;
}

int admin_list_volumes(struct admin_call *c, struct error *err)
{
    uint64_t limit;
    bool more;
    int r = admin_query_uint(c, "limit", PAGE, PAGE_MAX, &limit, err);
    if (r < 0)
        return r;
    if (limit == 0)
        limit = 1;
    _free_ struct store_volume *page = calloc(limit + 1, sizeof(*page));
    _json_ json_t *out = json_array();
    if (!page || !out)
        return error_set(err, ENOMEM, "out of memory");
    r = list(c, page, limit, out, &more, err);
    if (r < 0)
        return r;
    return admin_reply_json(c, 200, json_pack("{s:O, s:b}", "volumes", out, "more", more), err);
}

/* ---- one ---- */
/* "sealed" means all of it here, policy and reference values, too. */
static int look(struct admin_call *c, void *arg, struct error *err)
{
    _admin_volume_ struct admin_volume a = {0};
    json_t **j = arg;
    int r = admin_volume_load(c, &a, err);
    if (r == 0)
        r = admin_volume_json(c, &a.volume, j, err);
    if (r == 0 && admin_volume_check(c, &a, NULL) < 0 &&
        json_object_set_new(*j, "sealed", json_false()) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    return r;
}

int admin_get_volume(struct admin_call *c, struct error *err)
{
    json_t *j = NULL;
    int r = admin_look(c, look, &j, err);
    return admin_reply_result(c, r, j, err);
}

static int change(struct admin_call *c, void *arg, struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    json_t **result = arg;
    int r = admin_find_volume(c, c->words[0], &v, err);
    if (r == 0)
        r = volume_check_seal(&v, c->admin->seals, err);
    if (r == 0)
        r = admin_read_settings(c->body, &v, err);
    if (r == 0)
        r = volume_seal(&v, c->admin->seals, err);
    if (r < 0)
        return r;
    v.changed = time(NULL);
    _free_ char *detail = json_dumps(c->body, JSON_COMPACT);
    change_note(&c->change, CHANGE_VOLUME_SET, v.uuid, "%s", detail ? detail : "");
    r = store_volume_update(c->admin->store, &v, err);
    if (r == -EEXIST)
        return error_set(err, EEXIST, "another volume is called \"%s\"", v.name);
    return r < 0 ? r : admin_volume_json(c, &v, result, err);
}

int admin_change_volume(struct admin_call *c, struct error *err)
{
    static const char *const known[] = {"name",       "enabled",   "approval", "rate",
                                        "not_before", "not_after", NULL};
    json_t *result = NULL;
    int r = json_only_keys(c->body, known, "request", err);
    if (r == 0)
        r = admin_change(c, change, &result, err);
    return admin_reply_result(c, r, result, err);
}

static int remove_volume(struct admin_call *c, void *arg, struct error *err)
{
    struct store_volume *v = arg;
    int r = admin_find_volume(c, c->words[0], v, err);
    if (r < 0)
        return r;
    change_note(&c->change, CHANGE_VOLUME_REMOVE, v->uuid, "%s", v->name);
    return store_volume_remove(c->admin->store, v->uuid, err);
}

int admin_remove_volume(struct admin_call *c, struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    int r = admin_change(c, remove_volume, &v, err);
    if (r < 0)
        return r;
    c->reply.status = 204;
    return 0;
}
