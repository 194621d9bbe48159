#include "broker/audit.h"
#include "base/hex.h"
#include "base/utc.h"
#include "crypto/digest.h"

#include <inttypes.h>
#include <string.h>

/* Room for findings, as text: rejections first of all, so that no number of harmless records in a
 * hostile event log leaves none for the reason. */
#define REJECTIONS_MAX ((size_t)128 << 10)
#define OTHERS_MAX ((size_t)64 << 10)
#define WHO_MAX ((size_t)512)

static const char domain[] = "encroot audit v1"; /* its NUL is part of it */

int audit_format(const json_t *j, struct buffer *ret, struct error *err)
{
    _free_ char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text || buffer_append(ret, text, strlen(text)) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

int audit_hash(uint8_t ret[AUDIT_HASH_SIZE], json_t *record, struct error *err)
{
    _json_ json_t *rest = json_copy(record);
    _buffer_ struct buffer text = {0};
    struct digest d;
    json_object_del(rest, "hash");
    int r = audit_format(rest, &text, err);
    if (r < 0)
        return r;
    struct digest_stream *s = digest_begin(HASH_SHA256);
    digest_update(s, domain, sizeof(domain));
    digest_update(s, text.data, text.size);
    r = digest_finish(s, &d);
    if (r < 0)
        return error_set(err, -r, "hashing a record of the audit");
    memcpy(ret, d.bytes, AUDIT_HASH_SIZE);
    return 0;
}

/* ---- making one ---- */
/* At most `max` bytes of it, cut between characters. */
static json_t *short_text(const char *text, size_t max)
{
    size_t n = strlen(text);
    if (n <= max)
        return plain_json(text);
    for (n = max; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
        ;
    _free_ char *cut = NULL;
    return asprintf(&cut, "%.*s...", (int)n, text) < 0 ? NULL : plain_json(cut);
}

static int put_text(json_t *object, const char *key, const char *text)
{
    return text ? json_object_set_new(object, key, short_text(text, AUDIT_TEXT_MAX)) : 0;
}

static int put_hash(json_t *object, const char *key, const uint8_t hash[AUDIT_HASH_SIZE])
{
    char hex[2 * AUDIT_HASH_SIZE + 1];
    hex_encode(BYTES(hash, AUDIT_HASH_SIZE), hex);
    return json_object_set_new(object, key, json_string(hex));
}

static json_t *finding_json(const struct finding *f)
{
    json_t *j = json_pack("{s:s, s:s}", "check", f->check, "verdict", verdict_name(f->verdict));
    if (j && f->verdict == VERDICT_REJECT &&
        (put_text(j, "expected", f->expected) < 0 || put_text(j, "found", f->found) < 0 ||
         put_text(j, "remedy", f->remedy) < 0)) {
        json_decref(j);
        return NULL;
    }
    return j;
}

/* Of an entry's text and the comma behind it. The names of checks and verdicts are plain: only
 * other texts have to be written to be measured. */
static size_t entry_size(const json_t *entry, const struct finding *f)
{
    static const char frame[] = "{\"check\":\"\",\"verdict\":\"\"},";
    if (f->verdict == VERDICT_REJECT)
        return json_dumpb(entry, NULL, 0, JSON_COMPACT | JSON_SORT_KEYS) + 1;
    return sizeof(frame) - 1 + strlen(f->check) + strlen(verdict_name(f->verdict));
}

/* What has no room is counted. */
static int put_finding(json_t *list, const struct finding *f, size_t *room, uint64_t *omitted)
{
    json_t *entry = finding_json(f);
    if (!entry)
        return -ENOMEM;
    size_t size = entry_size(entry, f);
    if (size == 1 || size > *room) {
        json_decref(entry);
        (*omitted)++;
        return 0;
    }
    *room -= size;
    return json_array_append_new(list, entry);
}

static int put_findings(json_t *object, const struct audit_entry *e)
{
    static const struct finding lost = {.check = "appraisal",
                                        .expected = (char *)"a complete appraisal",
                                        .found = (char *)"an error of this side ended it"};
    size_t rejections = REJECTIONS_MAX, others = OTHERS_MAX;
    uint64_t omitted = 0;
    const struct findings *f = e->findings;
    json_t *list = json_array();
    int r = json_object_set_new(object, "findings", list);
    for (size_t i = 0; i < f->count && r >= 0; i++)
        r = put_finding(list, &f->list[i],
                        f->list[i].verdict == VERDICT_REJECT ? &rejections : &others, &omitted);
    if (r >= 0 && !e->granted && f->rejected == 0)
        r = put_finding(list, &lost, &rejections, &omitted);
    return r < 0 ? r : json_object_set_new(object, "omitted", json_integer((json_int_t)omitted));
}

static int put_evidence(json_t *o, const struct audit_entry *e)
{
    char volume[UUID_TEXT_SIZE];
    if (!e->volume)
        return json_object_set_new(o, "volume", json_null()) |
               json_object_set_new(o, "platform", json_null()) |
               json_object_set_new(o, "evidence_sha256", json_null());
    uuid_format(e->volume, volume);
    return json_object_set_new(o, "volume", json_string(volume)) |
           put_text(o, "platform", e->platform) |
           put_hash(o, "evidence_sha256", e->evidence_sha256);
}

const char *audit_verdict_name(enum audit_verdict v)
{
    static const char *const names[AUDIT_VERDICTS] = {
        [AUDIT_DENIED] = "denied", [AUDIT_GRANTED] = "granted", [AUDIT_CHANGED] = "changed"};
    return names[v];
}

static int put_verdict(json_t *o, enum audit_verdict v)
{
    return json_object_set_new(o, "verdict", json_string(audit_verdict_name(v)));
}

/* What every record has. */
static int put_head(json_t *o, const struct audit_state *last, const char *id, const char *broker,
                    time_t time)
{
    char text[UTC_TEXT_SIZE];
    int r = utc_format(time, text);
    if (r < 0)
        return r;
    return json_object_set_new(o, "sequence", json_integer((json_int_t)last->sequence + 1)) |
           put_hash(o, "previous", last->hash) | json_object_set_new(o, "time", json_string(text)) |
           put_text(o, "id", id) | json_object_set_new(o, "broker", short_text(broker, WHO_MAX));
}

static int put_decision(json_t *o, const struct audit_entry *e)
{
    return json_object_set_new(o, "peer", short_text(e->peer, WHO_MAX)) |
           put_verdict(o, e->granted ? AUDIT_GRANTED : AUDIT_DENIED) |
           json_object_set_new(o, "recovered", json_integer((json_int_t)e->recovered)) |
           put_hash(o, "request_sha256", e->request_sha256) | put_evidence(o, e) |
           put_findings(o, e);
}

/*
 * Written once, with zeros in the place of the hash, which is then put over them. Nothing before
 * that place looks like it: quotation marks within texts are escaped, and no finding has a member
 * of that name. "id" is always behind it, so that a comma is, too.
 */
#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"
static const char hash_member[] = "\"hash\":\"" NO_HASH "\",";

static int put_own_hash(struct bytes text, uint8_t *place, uint8_t ret[AUDIT_HASH_SIZE])
{
    const size_t size = sizeof(hash_member) - 1, before = (size_t)(place - text.data);
    char hex[2 * AUDIT_HASH_SIZE + 1];
    struct digest d;
    struct digest_stream *s = digest_begin(HASH_SHA256);
    digest_update(s, domain, sizeof(domain));
    digest_update(s, text.data, before);
    digest_update(s, place + size, text.size - before - size);
    int r = digest_finish(s, &d);
    if (r < 0)
        return r;
    memcpy(ret, d.bytes, AUDIT_HASH_SIZE);
    hex_encode(BYTES(ret, AUDIT_HASH_SIZE), hex);
    memcpy(place + strlen("\"hash\":\""), hex, sizeof(hex) - 1);
    return 0;
}

static int format_hashed(json_t *record, struct buffer *ret, uint8_t ret_hash[AUDIT_HASH_SIZE],
                         struct error *err)
{
    _buffer_ struct buffer text = {0};
    if (json_object_set_new(record, "hash", json_string(NO_HASH)) < 0)
        return error_set(err, ENOMEM, "making a record of the audit");
    int r = audit_format(record, &text, err);
    if (r < 0)
        return r;
    uint8_t *place = memmem(text.data, text.size, hash_member, sizeof(hash_member) - 1);
    if (!place || put_own_hash(buffer_bytes(&text), place, ret_hash) < 0)
        return error_set(err, EIO, "hashing a record of the audit");
    if (buffer_append(ret, text.data, text.size) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

/* `o`: a record without its hash, or NULL. */
static int finish(json_t *o, const struct audit_state *last, struct buffer *ret,
                  struct audit_state *ret_next, struct error *err)
{
    struct audit_state next = {.sequence = last->sequence + 1};
    int r = o ? format_hashed(o, ret, next.hash, err)
              : error_set(err, ENOMEM, "making a record of the audit");
    if (r == 0)
        *ret_next = next;
    return r;
}

static int check_room(const struct audit_state *last, struct error *err)
{
    return last->sequence < INT64_MAX
               ? 0
               : error_set(err, EOVERFLOW, "no number is left for a record of the audit");
}

int audit_make(const struct audit_state *last, const struct audit_entry *e, struct buffer *ret,
               struct audit_state *ret_next, struct error *err)
{
    _json_ json_t *o = json_object();
    if (e->granted && !findings_pass(e->findings))
        return error_set(err, EINVAL, "a release that the findings contradict");
    int r = check_room(last, err);
    if (r < 0)
        return r;
    bool made = o && put_head(o, last, e->id, e->broker, e->time) == 0 && put_decision(o, e) >= 0;
    return finish(made ? o : NULL, last, ret, ret_next, err);
}

static int put_change(json_t *o, const struct audit_change *c)
{
    char volume[UUID_TEXT_SIZE];
    if (c->volume)
        uuid_format(c->volume, volume);
    return put_verdict(o, AUDIT_CHANGED) | put_text(o, "action", c->action) |
           json_object_set_new(o, "user", short_text(c->user, WHO_MAX)) |
           json_object_set_new(o, "volume", c->volume ? json_string(volume) : json_null()) |
           json_object_set_new(o, "detail",
                               c->detail ? short_text(c->detail, AUDIT_TEXT_MAX) : json_null());
}

int audit_make_change(const struct audit_state *last, const struct audit_change *c,
                      struct buffer *ret, struct audit_state *ret_next, struct error *err)
{
    _json_ json_t *o = json_object();
    int r = check_room(last, err);
    if (r < 0)
        return r;
    bool made = o && put_head(o, last, c->id, c->broker, c->time) == 0 && put_change(o, c) == 0;
    return finish(made ? o : NULL, last, ret, ret_next, err);
}

/* ---- the chain ---- */
int audit_verify_hash(const struct audit_record *r, const char *name, struct error *err)
{
    uint8_t hash[AUDIT_HASH_SIZE];
    char says[2 * AUDIT_HASH_SIZE + 1], is[2 * AUDIT_HASH_SIZE + 1];
    int n = audit_hash(hash, r->json, err);
    if (n < 0 || memcmp(hash, r->hash, sizeof(hash)) == 0)
        return n;
    hex_encode(BYTES_OF(r->hash), says);
    hex_encode(BYTES_OF(hash), is);
    return error_set(err, EUCLEAN,
                     "%s: record %" PRIu64 " was changed: it says that its hash is %s, but that "
                     "is %s",
                     name, r->sequence, says, is);
}

int audit_verify(const struct audit_state *last, const struct audit_record *r, const char *name,
                 struct error *err)
{
    int n = audit_verify_hash(r, name, err);
    if (n < 0)
        return n;
    if (r->sequence != last->sequence + 1)
        return error_set(err, EUCLEAN,
                         "%s: expected record %" PRIu64 ", found record %" PRIu64
                         ": records were removed, put in, or moved",
                         name, last->sequence + 1, r->sequence);
    if (memcmp(r->previous, last->hash, AUDIT_HASH_SIZE) != 0)
        return error_set(err, EUCLEAN,
                         "%s: record %" PRIu64 " does not follow the one before it (its "
                         "\"previous\" is another hash): one of them was exchanged",
                         name, r->sequence);
    return 0;
}

struct audit_state audit_state_after(const struct audit_record *r)
{
    struct audit_state s = {.sequence = r->sequence};
    memcpy(s.hash, r->hash, AUDIT_HASH_SIZE);
    return s;
}
