#include "cli/audit_pages.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_RECORDS 200 /* of at most AUDIT_RECORD_MAX bytes: less than ADMIN_ANSWER_MAX */

int audit_pages_open(struct audit_pages *ret, const struct admin_client *c, uint64_t count,
                     struct error *err)
{
    _json_ json_t *status = NULL;
    struct audit_pages p = {.client = c, .text = {.max = ADMIN_ANSWER_MAX}};
    int r = admin_call(c, "GET", "/v1/status", NULL, &status, err);
    if (r == 0 && json_get_uint(json_object_get(status, "audit"), "sequence", INT64_MAX, &p.end,
                                "the broker's answer: audit", err) < 0)
        r = -EPROTO;
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
    snprintf(path, sizeof(path), "/v1/audit?columns=1&after=%" PRIu64 "&limit=%d", p->after,
             PAGE_RECORDS);
    p->text.size = 0;
    p->at = 0;
    int r = admin_get_lines(p->client, path, &p->text, err);
    if (r == 0 && p->text.size > 0 && p->text.data[p->text.size - 1] != '\n')
        r = error_set(err, EPROTO, "%s: a page of the audit has no end", p->client->address.text);
    return r;
}

/* False at the end of the page. */
static bool take_line(struct audit_pages *p, struct bytes *ret)
{
    const uint8_t *line = p->text.data + p->at;
    if (p->at == p->text.size)
        return false;
    *ret = BYTES(line, (size_t)((uint8_t *)memchr(line, '\n', p->text.size - p->at) - line));
    p->at += ret->size + 1;
    return true;
}

int audit_pages_next(struct audit_pages *p, uint64_t sequence, struct bytes *ret_columns,
                     struct bytes *ret, struct error *err)
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
    if (!take_line(p, ret_columns))
        return 0;
    return take_line(p, ret) ? 1
                             : error_set(err, EPROTO, "%s: a page of the audit ends with columns",
                                         p->client->address.text);
}

void audit_pages_close(struct audit_pages *p)
{
    buffer_free(&p->text);
    *p = (struct audit_pages){0};
}
