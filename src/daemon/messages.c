#include "daemon/messages.h"

#include <string.h>

#define NO_TEXT UINT32_MAX /* in the place of a length: NULL */
#define COUNT_MAX 20000    /* of findings; base/findings.c makes no more */
#define CHECK_MAX 64

/* ---- writing findings ---- */
static size_t text_size(const char *text)
{
    return text ? strnlen(text, MESSAGE_TEXT_MAX) : 0;
}

/* As the record will have it (broker/audit.h): of what does not reject the name. */
static struct finding brief(const struct finding *f)
{
    struct finding b = *f;
    if (f->verdict != VERDICT_REJECT)
        b.expected = b.found = b.remedy = NULL;
    return b;
}

static size_t finding_size(const struct finding *finding)
{
    const struct finding f = brief(finding);
    return 2 + 4 * sizeof(uint32_t) + text_size(f.check) + text_size(f.expected) +
           text_size(f.found) + text_size(f.remedy);
}

static int put_u32(struct buffer *b, uint32_t v)
{
    uint8_t bytes[4];
    put_le32(bytes, v);
    return buffer_append(b, bytes, sizeof(bytes));
}

static int put_text(struct buffer *b, const char *text)
{
    size_t n = text_size(text);
    int r = put_u32(b, text ? (uint32_t)n : NO_TEXT);
    return r < 0 ? r : buffer_append(b, text, n);
}

static int put_finding(struct buffer *b, const struct finding *finding)
{
    const struct finding f = brief(finding);
    uint8_t head[2] = {(uint8_t)f.verdict, (uint8_t)f.waiver};
    int r = buffer_append(b, head, sizeof(head));
    if (r == 0)
        r = put_text(b, f.check);
    if (r == 0)
        r = put_text(b, f.expected);
    if (r == 0)
        r = put_text(b, f.found);
    return r < 0 ? r : put_text(b, f.remedy);
}

/* What of one kind has room: all up to the first that has none. Returns how many. */
static size_t fitting(const struct findings *f, bool rejects, size_t *room)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++) {
        if ((f->list[i].verdict == VERDICT_REJECT) != rejects)
            continue;
        size_t size = finding_size(&f->list[i]);
        if (size > *room)
            break;
        *room -= size;
        n++;
    }
    return n;
}

int messages_put_findings(const struct findings *f, struct buffer *ret, struct error *err)
{
    size_t room = MESSAGE_FINDINGS_MAX - sizeof(uint32_t) - 1;
    size_t left[2];
    left[true] = fitting(f, true, &room);
    left[false] = fitting(f, false, &room);
    uint8_t incomplete = f->incomplete;
    int r = put_u32(ret, (uint32_t)(left[true] + left[false]));
    if (r == 0)
        r = buffer_append(ret, &incomplete, 1);
    for (size_t i = 0; i < f->count && r == 0; i++) {
        size_t *of = &left[f->list[i].verdict == VERDICT_REJECT];
        if (*of == 0)
            continue;
        --*of;
        r = put_finding(ret, &f->list[i]);
    }
    return r < 0 ? error_set(err, -r, "findings: no memory") : 0;
}

/* ---- reading findings ---- */
static bool plain_check(struct bytes b)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
    for (size_t i = 0; i < b.size; i++)
        if (b.data[i] == 0 || !strchr(allowed, b.data[i]))
            return false;
    return b.size > 0 && b.size <= CHECK_MAX;
}

/* A text, or NULL; sets the reader's error for one that no string can be. */
static int get_text(struct reader *r, char **ret)
{
    uint32_t n = read_le32(r);
    *ret = NULL;
    if (r->error || n == NO_TEXT)
        return 0;
    struct bytes b = n <= MESSAGE_TEXT_MAX ? read_bytes(r, n) : BYTES_NONE;
    if (r->error || n > MESSAGE_TEXT_MAX || memchr(b.data, 0, b.size)) {
        r->error = -EBADMSG;
        return 0;
    }
    *ret = strndup((const char *)b.data, b.size);
    return *ret ? 0 : -ENOMEM;
}

/* Its name goes into `names`, which has room for all that the input can hold and never moves. */
static int get_check(struct reader *r, struct buffer *names, const char **ret)
{
    struct bytes b = read_bytes(r, read_le32(r));
    if (r->error || !plain_check(b)) {
        r->error = -EBADMSG;
        return 0;
    }
    *ret = (const char *)names->data + names->size;
    int n = buffer_append(names, b.data, b.size);
    return n < 0 ? n : buffer_append(names, "", 1);
}

static bool plain_verdict(uint8_t verdict, uint8_t waiver)
{
    if (verdict == VERDICT_WAIVED)
        return waiver < WAIVER_COUNT;
    return waiver == 0 && (verdict == VERDICT_PASS || verdict == VERDICT_REJECT);
}

static int get_finding(struct reader *r, struct findings *f, struct buffer *names)
{
    struct finding n = {0};
    uint8_t verdict = read_u8(r), waiver = read_u8(r);
    if (!plain_verdict(verdict, waiver))
        r->error = -EBADMSG;
    int e = get_check(r, names, &n.check);
    if (e == 0)
        e = get_text(r, &n.expected);
    if (e == 0)
        e = get_text(r, &n.found);
    if (e == 0)
        e = get_text(r, &n.remedy);
    if (verdict != VERDICT_REJECT && (n.expected || n.found || n.remedy))
        r->error = -EBADMSG; /* they have their name alone */
    n.verdict = (enum verdict)verdict;
    n.waiver = (enum waiver)waiver;
    if (e == 0 && !r->error) {
        findings_take(f, &n);
        return 0;
    }
    finding_free(&n);
    return e;
}

int messages_get_findings(struct bytes in, struct findings *ret, struct buffer *ret_names,
                          struct error *err)
{
    _findings_ struct findings f = {0};
    _buffer_ struct buffer names = {0};
    struct reader r = reader_of(in);
    uint32_t count = read_le32(&r);
    uint8_t incomplete = read_u8(&r);
    int e = 0;
    if (in.size > MESSAGE_FINDINGS_MAX || count > COUNT_MAX || incomplete > 1)
        r.error = -EBADMSG;
    else
        e = buffer_reserve(&names, in.size + count);
    for (uint32_t i = 0; i < count && e == 0 && !r.error; i++)
        e = get_finding(&r, &f, &names);
    if (e < 0 || f.incomplete)
        return error_set(err, ENOMEM, "findings: no memory");
    if (r.error || reader_left(&r) > 0)
        return error_set(err, EPROTO, "findings: %zu bytes that no appraiser writes", in.size);
    f.incomplete = incomplete;
    *ret = f;
    *ret_names = names;
    f = (struct findings){0};
    names = (struct buffer){0};
    return 0;
}

/* ---- decisions ---- */
static bool plain_platform(const char name[32])
{
    size_t n = strnlen(name, 32);
    return n > 0 && n < 32 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
           bytes_are_zero(name + n, 32 - n);
}

static const char *decision_problem(const struct message_decision *d)
{
    size_t of_evidence = offsetof(struct message_decision, findings_size) -
                         offsetof(struct message_decision, volume);
    if (d->readable > 1 || d->passed > 1 || !bytes_are_zero(d->zero, sizeof(d->zero)))
        return "flags that are neither 0 nor 1";
    if (!d->readable && (d->passed || d->evidence_size || !bytes_are_zero(d->volume, of_evidence)))
        return "evidence that was not readable";
    if (d->readable && !plain_platform(d->platform))
        return "a platform without a name";
    if (d->evidence_size > EVIDENCE_JSON_MAX)
        return "evidence larger than any";
    return NULL;
}

int messages_get_decision(struct bytes body, struct message_decision *ret, struct findings *f,
                          struct buffer *ret_names, struct bytes *ret_evidence, struct error *err)
{
    struct message_decision d;
    if (body.size < sizeof(d))
        return error_set(err, EPROTO, "decision: %zu bytes, expected at least %zu", body.size,
                         sizeof(d));
    memcpy(&d, body.data, sizeof(d));
    const char *problem = decision_problem(&d);
    if (problem)
        return error_set(err, EPROTO, "decision: %s", problem);
    struct reader r = reader_of(body);
    read_bytes(&r, sizeof(d));
    struct bytes findings = read_bytes(&r, d.findings_size);
    struct bytes evidence = read_bytes(&r, d.evidence_size);
    if (r.error || reader_left(&r) > 0)
        return error_set(err, EPROTO, "decision: sizes that are not those of its %zu bytes",
                         body.size);
    _findings_ struct findings found = {0};
    _buffer_ struct buffer names = {0};
    int e = messages_get_findings(findings, &found, &names, err);
    if (e < 0)
        return error_prefix(err, e, "decision");
    if (d.passed != findings_pass(&found))
        return error_set(err, EPROTO, "decision: a verdict that its findings contradict");
    *ret = d;
    *f = found;
    *ret_names = names;
    *ret_evidence = evidence;
    found = (struct findings){0};
    names = (struct buffer){0};
    return 0;
}
