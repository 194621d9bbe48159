#include "store/operations.h"

struct requests {
    struct store_request *list;
    size_t max, count;
};

static int put_texts(const struct db_value *c, struct store_request *q, struct error *err)
{
    int r = column_text(&c[0], q->id, sizeof(q->id), err);
    if (r == 0)
        r = column_fixed(&c[1], q->volume, sizeof(q->volume), err);
    if (r == 0)
        r = column_fixed(&c[2], q->attester, sizeof(q->attester), err);
    if (r == 0)
        r = column_text(&c[4], q->peer, sizeof(q->peer), err);
    if (r == 0)
        r = column_text(&c[9], q->decided_by, sizeof(q->decided_by), err);
    return r < 0 ? r : column_fixed(&c[10], q->seal, sizeof(q->seal), err);
}

static int put_request(void *arg, const struct db_value *c, struct error *err)
{
    struct requests *all = arg;
    struct store_request q = {0};
    uint64_t state, created, seen, expires, count;
    int r = check_room(all->count, all->max, err);
    if (r == 0)
        r = put_texts(c, &q, err);
    if (r == 0)
        r = column_uint(&c[3], STORE_REQUEST_USED, &state, err);
    if (r == 0)
        r = column_uint(&c[5], INT64_MAX, &created, err);
    if (r == 0)
        r = column_uint(&c[6], INT64_MAX, &seen, err);
    if (r == 0)
        r = column_uint(&c[7], INT64_MAX, &expires, err);
    if (r == 0)
        r = column_uint(&c[8], UINT32_MAX, &count, err);
    if (r < 0)
        return r;
    q.state = (enum store_request_state)state;
    q.created = (time_t)created;
    q.seen = (time_t)seen;
    q.expires = (time_t)expires;
    q.count = (uint32_t)count;
    all->list[all->count++] = q;
    return 0;
}

/* Tables that somebody else made compare as they like: text is larger than any number. */
static bool is_wanted(const struct store_request *q, const uint8_t volume[16],
                      const uint8_t attester[STORE_ATTESTER_SIZE], time_t now)
{
    return memcmp(q->volume, volume, sizeof(q->volume)) == 0 &&
           memcmp(q->attester, attester, sizeof(q->attester)) == 0 && q->expires > now &&
           q->state != STORE_REQUEST_USED;
}

int store_request_find(struct store *s, const uint8_t volume[16],
                       const uint8_t attester[STORE_ATTESTER_SIZE], time_t now,
                       struct store_request *ret, struct error *err)
{
    struct requests one = {ret, 1, 0};
    const struct db_value p[] = {db_bytes(BYTES(volume, 16)),
                                 db_bytes(BYTES(attester, STORE_ATTESTER_SIZE)), db_int(now),
                                 db_int(STORE_REQUEST_USED)};
    int r = store_read(s, STATEMENT_REQUEST_FIND, p, put_request, &one, err);
    if (r == 0)
        return error_set(err, ENOENT, "%s: no request of this volume and guest", s->db->name);
    if (r > 0 && !is_wanted(ret, volume, attester, now))
        return error_set(err, EUCLEAN,
                         "%s: it found a request that was not asked for: the database was changed "
                         "by other means",
                         s->db->name);
    return r < 0 ? r : 0;
}

int store_request_get(struct store *s, const char *id, struct store_request *ret, struct error *err)
{
    struct requests one = {ret, 1, 0};
    const struct db_value p[] = {db_text(id)};
    int r = check_text(id, "the id of a request", err);
    if (r == 0)
        r = store_read(s, STATEMENT_REQUEST_GET, p, put_request, &one, err);
    else
        return r;
    return r != 0 ? (r < 0 ? r : 0)
                  : error_set(err, ENOENT, "%s: no request \"%s\"", s->db->name, id);
}

static int check_request(const struct store *s, const struct store_request *q, struct error *err)
{
    int r = store_check_writing(s, err);
    if (r == 0)
        r = check_text(q->id, "the id of a request", err);
    if (r == 0)
        r = check_text(q->peer, "the peer of a request", err);
    if (r == 0)
        r = check_text(q->decided_by, "who decided a request", err);
    if (r == 0 && (!q->id[0] || q->created < 0 || q->seen < 0 || q->expires < 0))
        r = error_set(err, EINVAL, "a request without an id, or with a time before 1970");
    return r;
}

int store_request_put(struct store *s, const struct store_request *q, struct error *err)
{
    const struct db_value p[] = {db_text(q->id),
                                 db_bytes(BYTES_OF(q->volume)),
                                 db_bytes(BYTES_OF(q->attester)),
                                 db_int(q->state),
                                 db_text(q->peer),
                                 db_int(q->created),
                                 db_int(q->seen),
                                 db_int(q->expires),
                                 db_int(q->count),
                                 db_text(q->decided_by),
                                 db_bytes(BYTES_OF(q->seal))};
    int r = check_request(s, q, err);
    if (r < 0)
        return r;
    r = store_write(s, STATEMENT_REQUEST_PUT, p, NULL, NULL, err);
    return r != 0 ? (r < 0 ? r : 0)
                  : error_set(err, ENOENT,
                              "%s: no volume of request \"%s\", or a request of another guest "
                              "has this id",
                              s->db->name, q->id);
}

int store_request_list(struct store *s, bool all, time_t now, struct store_request *ret, size_t max,
                       struct error *err)
{
    struct requests found = {ret, max, 0};
    const struct db_value p[] = {db_int(all ? -1 : now), db_int((int64_t)max)};
    return store_read(s, STATEMENT_REQUEST_LIST, p, put_request, &found, err);
}

static int put_count(void *arg, const struct db_value *c, struct error *err)
{
    return column_uint(&c[0], INT64_MAX, arg, err);
}

int store_request_count(struct store *s, enum store_request_state state, time_t now, uint64_t *ret,
                        struct error *err)
{
    uint64_t count = 0;
    const struct db_value p[] = {db_int(now), db_int(state)};
    int r = store_read(s, STATEMENT_REQUEST_COUNT, p, put_count, &count, err);
    if (r < 0)
        return r;
    *ret = count;
    return 0;
}
