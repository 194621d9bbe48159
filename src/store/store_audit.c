#include "store/operations.h"

#include <inttypes.h>

void store_record_free(struct store_record *r)
{
    buffer_free(&r->text);
    buffer_free(&r->evidence);
    r->text = r->evidence = (struct buffer){0};
}

/* ---- the end of the chain ---- */
struct head {
    uint64_t sequence;
    uint8_t hash[32];
};

static int put_head(void *arg, const struct db_value *c, struct error *err)
{
    struct head *h = arg;
    int r = column_uint(&c[0], INT64_MAX, &h->sequence, err);
    return r < 0 ? r : column_fixed(&c[1], h->hash, sizeof(h->hash), err);
}

/* Asked once a transaction, in which nobody else can append. */
int store_audit_last(struct store *s, uint64_t *sequence, uint8_t hash[32], struct error *err)
{
    struct head h = {0};
    if (!s->head_known) {
        int r = store_read(s, STATEMENT_AUDIT_LAST, NULL, put_head, &h, err);
        if (r < 0)
            return r;
        s->head_known = s->state == STORE_IN_TRANSACTION;
        s->head = h.sequence;
        memcpy(s->head_hash, h.hash, sizeof(h.hash));
    }
    *sequence = s->head;
    memcpy(hash, s->head_hash, 32);
    return 0;
}

static int check_follows(struct store *s, const struct store_record *r, struct error *err)
{
    uint64_t last;
    uint8_t hash[32];
    int n = store_check_writing(s, err);
    if (n == 0)
        n = check_text(r->id, "the id of a record", err);
    if (n == 0)
        n = store_audit_last(s, &last, hash, err);
    if (n < 0)
        return n;
    if (r->sequence <= last)
        return error_set(err, EEXIST,
                         "%s: expected record %" PRIu64 " of the audit, found %" PRIu64
                         ", which is there already",
                         s->db->name, last + 1, r->sequence);
    if (r->sequence != last + 1 || r->sequence > INT64_MAX || r->time < 0)
        return error_set(err, EINVAL,
                         "%s: expected record %" PRIu64 " of the audit, found %" PRIu64
                         ": it would leave a gap",
                         s->db->name, last + 1, r->sequence);
    return 0;
}

int store_audit_append(struct store *s, const struct store_record *r, struct error *err)
{
    const struct db_value p[] = {db_int((int64_t)r->sequence),
                                 db_bytes(BYTES_OF(r->hash)),
                                 db_int(r->time),
                                 db_text(r->id),
                                 db_int(r->granted),
                                 r->has_volume ? db_bytes(BYTES_OF(r->volume)) : DB_NULL,
                                 db_bytes(buffer_bytes(&r->text))};
    const struct db_value q[] = {p[0], p[2], db_bytes(buffer_bytes(&r->evidence))};
    int n = check_follows(s, r, err);
    if (n == 0)
        n = store_post(s, STATEMENT_AUDIT_APPEND, p, err);
    if (n == 0 && r->evidence.size)
        n = store_post(s, STATEMENT_EVIDENCE_ADD, q, err);
    if (n < 0)
        return n;
    s->head = r->sequence;
    memcpy(s->head_hash, r->hash, sizeof(s->head_hash));
    return 0;
}

/* ---- reading ---- */
struct records {
    struct store_record *list;
    size_t max, count;
    bool evidence; /* is the last column */
};

static int put_fields(const struct db_value *c, struct store_record *r, struct error *err)
{
    int64_t time;
    int n = column_uint(&c[0], INT64_MAX, &r->sequence, err);
    if (n == 0)
        n = column_fixed(&c[1], r->hash, sizeof(r->hash), err);
    if (n == 0)
        n = column_int(&c[2], &time, err);
    if (n == 0)
        n = column_text(&c[3], r->id, sizeof(r->id), err);
    if (n == 0)
        n = column_int(&c[4], &r->granted, err);
    r->has_volume = !c[5].null;
    if (n == 0 && r->has_volume)
        n = column_fixed(&c[5], r->volume, sizeof(r->volume), err);
    if (n < 0)
        return error_prefix(err, n, "record %" PRIu64 " of the audit", r->sequence);
    r->time = (time_t)time;
    return 0;
}

static int put_record(void *arg, const struct db_value *c, struct error *err)
{
    struct records *all = arg;
    struct store_record r = {0};
    int n = check_room(all->count, all->max, err);
    if (n == 0)
        n = put_fields(c, &r, err);
    if (n == 0)
        n = column_buffer(&c[6], &r.text, err);
    if (n == 0 && all->evidence)
        n = column_buffer(&c[7], &r.evidence, err);
    if (n == 0)
        all->list[all->count++] = r;
    else
        store_record_free(&r);
    return n;
}

int store_audit_list(struct store *s, uint64_t after, bool newest, const uint8_t *volume,
                     struct store_record *ret, size_t max, struct error *err)
{
    static const enum statement which[2][2] = {
        {STATEMENT_AUDIT_LIST, STATEMENT_AUDIT_LIST_VOLUME},
        {STATEMENT_AUDIT_NEWEST, STATEMENT_AUDIT_NEWEST_VOLUME}};
    struct records all = {ret, max, 0, false};
    uint64_t bound = (newest && after == 0) || after > INT64_MAX ? INT64_MAX : after;
    const struct db_value p[] = {db_int((int64_t)bound), db_int((int64_t)max),
                                 volume ? db_bytes(BYTES(volume, 16)) : DB_NULL};
    int r = store_read(s, which[newest][volume != NULL], p, put_record, &all, err);
    for (size_t i = 0; r < 0 && i < all.count; i++)
        store_record_free(&ret[i]);
    return r;
}

int store_audit_find(struct store *s, const char *id, struct store_record *ret, struct error *err)
{
    struct records one = {ret, 1, 0, true};
    const struct db_value p[] = {db_text(id)};
    int r = check_text(id, "the id of a record", err);
    if (r < 0)
        return r;
    r = store_read(s, STATEMENT_AUDIT_FIND, p, put_record, &one, err);
    return r != 0 ? (r < 0 ? r : 0)
                  : error_set(err, ENOENT, "%s: no record \"%s\" in the audit", s->db->name, id);
}

static int put_count(void *arg, const struct db_value *c, struct error *err)
{
    return column_uint(&c[0], INT64_MAX, arg, err);
}

int store_audit_count_granted(struct store *s, const uint8_t volume[16], time_t since,
                              uint64_t *ret, struct error *err)
{
    uint64_t count = 0;
    const struct db_value p[] = {db_bytes(BYTES(volume, 16)), db_int(since)};
    int r = store_read(s, STATEMENT_AUDIT_COUNT_GRANTED, p, put_count, &count, err);
    if (r < 0)
        return r;
    *ret = count;
    return 0;
}

/* ---- forgetting ---- */
int store_purge(struct store *s, time_t before, size_t max, struct error *err)
{
    const struct db_value p[] = {db_int(before), db_int((int64_t)max)};
    int evidence = 0, requests = 0;
    int r = store_begin(s, err);
    if (r < 0)
        return r;
    evidence = r = store_write(s, STATEMENT_PURGE_EVIDENCE, p, NULL, NULL, err);
    if (r >= 0)
        requests = r = store_write(s, STATEMENT_PURGE_REQUESTS, p, NULL, NULL, err);
    if (r >= 0)
        r = store_commit(s, err);
    if (r < 0) {
        store_rollback(s);
        return r;
    }
    return evidence + requests;
}
