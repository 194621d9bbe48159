#include "cli/audit_pages.h"
#include "base/hex.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_RECORDS 200 /* of at most AUDIT_RECORD_MAX bytes: less than ADMIN_ANSWER_MAX */

/* {"sequence", "hash"} of the last record. */
static int read_end(const json_t *j, struct audit_pages *p, struct error *err)
{
    static const char where[] = "the broker's answer: audit";
    const char *hash;
    int r = json_get_uint(j, "sequence", INT64_MAX, &p->end, where, err);
    if (r == 0)
        r = json_get_string(j, "hash", &hash, where, err);
    if (r == 0 && hex_decode(hash, p->end_hash, sizeof(p->end_hash)) < 0)
        r = error_set(err, EPROTO, "%s: \"hash\" is none: \"%.100s\"", where, hash);
    return r < 0 ? -EPROTO : 0;
}

int audit_pages_open(struct audit_pages *ret, const struct admin_client *c, uint64_t count,
                     struct error *err)
{
    _json_ json_t *status = NULL;
    struct audit_pages p = {.client = c, .text = {.max = ADMIN_ANSWER_MAX}};
    int r = admin_call(c, "GET", "/v1/status", NULL, &status, err);
    if (r == 0)
        r = read_end(json_object_get(status, "audit"), &p, err);
    if (r < 0)
        return r;
    p.after = count && count < p.end ? p.end - count : 0;
    p.first = p.after + 1;
    *ret = p;
    return 0;
}

static int fetch(struct audit_pages *p, struct error *err)
{
    char path[96];
    snprintf(path, sizeof(path), "/v1/audit?after=%" PRIu64 "&limit=%d", p->after, PAGE_RECORDS);
    p->text.size = 0;
    p->at = 0;
    int r = admin_get_lines(p->client, path, &p->text, err);
    if (r == 0 && p->text.size > 0 && p->text.data[p->text.size - 1] != '\n')
        r = error_set(err, EPROTO, "%s: a page of the audit has no end", p->client->address.text);
    return r;
}

int audit_pages_next(struct audit_pages *p, uint64_t sequence, struct bytes *ret, struct error *err)
{
    bool begun = p->text.size > 0;
    if (sequence >= p->end || p->first > p->end)
        return 0;
    if (p->at == p->text.size) {
        if (begun && sequence <= p->after) /* not one of its lines led on: nor would they again */
            return 0;
        if (begun)
            p->after = sequence;
        int r = fetch(p, err);
        if (r < 0)
            return r;
    }
    if (p->text.size == 0)
        return 0;
    const uint8_t *line = p->text.data + p->at;
    const uint8_t *end = memchr(line, '\n', p->text.size - p->at);
    *ret = BYTES(line, (size_t)(end - line));
    p->at += ret->size + 1;
    return 1;
}

void audit_pages_close(struct audit_pages *p)
{
    buffer_free(&p->text);
    *p = (struct audit_pages){0};
}
