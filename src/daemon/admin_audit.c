/* /v1/audit: records as they are in the chain, so that whoever reads them can verify them. */
#include "daemon/admin.h"
#include "base/hex.h"

#include <string.h>

#define PAGE 32                      /* records that are in memory at once */
#define LIMIT 100                    /* of one answer, unless another is asked for */
#define ANSWER_MAX ((size_t)8 << 20) /* what is behind is asked for by `after` */

struct audit_query {
    uint64_t after, left;
    bool newest, columns;
    const uint8_t *volume;
};

/* What the store keeps beside a record, and finds and counts it by. */
static int put_columns(const struct store_record *r, struct buffer *out)
{
    char hash[2 * sizeof(r->hash) + 1], volume[UUID_TEXT_SIZE];
    hex_encode(BYTES_OF(r->hash), hash);
    uuid_format(r->volume, volume);
    _json_ json_t *j =
        json_pack("{s:I, s:s, s:I, s:o, s:I, s:s?}", "sequence", (json_int_t)r->sequence, "hash",
                  hash, "time", (json_int_t)r->time, "id", plain_json(r->id), "granted",
                  (json_int_t)r->granted, "volume", r->has_volume ? volume : NULL);
    _free_ char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    return text ? buffer_printf(out, "%s\n", text) : -ENOMEM;
}

static int put_record(const struct store_record *r, bool columns, struct buffer *out)
{
    int n = columns ? put_columns(r, out) : 0;
    if (n == 0)
        n = buffer_append(out, r->text.data, r->text.size);
    return n < 0 ? n : buffer_append(out, "\n", 1);
}

/* One that has no room ends the answer: none that is behind it may come before it. */
static int put_page(struct store_record *page, int n, struct audit_query *q, struct buffer *out)
{
    int r = 0;
    bool fits = true;
    for (int i = 0; i < n; i++) {
        struct store_record *record = &page[i];
        size_t before = out->size;
        if (fits && r == 0)
            r = put_record(record, q->columns, out);
        fits = fits && out->size <= ANSWER_MAX;
        if (fits) {
            q->after = record->sequence;
            q->left--;
        } else {
            out->size = before;
        }
        store_record_free(record);
    }
    if (!fits)
        q->left = 0;
    return r;
}

static int collect(struct admin_call *c, struct audit_query *q, struct buffer *out,
                   struct error *err)
{
    struct store_record page[PAGE];
    while (q->left > 0) {
        size_t want = q->left < PAGE ? q->left : PAGE;
        memset(page, 0, sizeof(page));
        int n = store_audit_list(c->admin->store, q->after, q->newest, q->volume, page, want, err);
        if (n < 0)
            return n;
        if (put_page(page, n, q, out) < 0)
            return error_set(err, ENOMEM, "out of memory");
        if ((size_t)n < want)
            break;
    }
    return 0;
}

int admin_list_audit(struct admin_call *c, struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    _buffer_ struct buffer out = {0};
    struct audit_query q = {0};
    const char *ref = admin_query(c, "volume");
    int r = admin_query_uint(c, "after", 0, INT64_MAX, &q.after, err);
    if (r == 0)
        r = admin_query_uint(c, "limit", LIMIT, ADMIN_LIST_MAX, &q.left, err);
    if (r == 0)
        r = admin_query_flag(c, "newest", &q.newest, err);
    if (r == 0)
        r = admin_query_flag(c, "columns", &q.columns, err);
    if (r == 0 && ref && uuid_parse(ref, v.uuid) < 0) /* by uuid: removed ones, too */
        r = admin_find_volume(c, ref, &v, err);
    q.volume = ref ? v.uuid : NULL;
    if (r == 0)
        r = collect(c, &q, &out, err);
    if (r < 0)
        return r;
    c->reply = (struct admin_reply){.status = 200, .type = "application/x-ndjson", .body = out};
    out = (struct buffer){0};
    return 0;
}

int admin_get_record(struct admin_call *c, struct error *err)
{
    _store_record_ struct store_record record = {0};
    _json_ json_t *j = NULL;
    json_t *evidence = NULL;
    int r = store_audit_find(c->admin->store, c->words[0], &record, err);
    if (r == -ENOENT)
        return error_hint(err,
                          error_set(err, ENOENT, "the audit has no record \"%.40s\"", c->words[0]),
                          "an id is what a refused guest prints; `encroot audit list` has all");
    if (r == 0)
        r = admin_parse_stored(&j, buffer_bytes(&record.text), "the stored record", err);
    if (r < 0)
        return r;
    /* The store gives what it was given; should that be damaged, the record is still worth seeing.
     */
    if (record.evidence.size == 0 ||
        json_parse(&evidence, buffer_bytes(&record.evidence), "evidence", NULL) < 0)
        evidence = json_null();
    return admin_reply_json(c, 200, json_pack("{s:O, s:o}", "record", j, "evidence", evidence),
                            err);
}
