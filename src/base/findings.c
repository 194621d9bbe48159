#include "base/findings.h"

#include <stdarg.h>
#include <string.h>

/* Far more than any honest evidence has; a bound for hostile event logs. */
#define FINDINGS_MAX 20000

/* Room for one more; NULL marks the list as incomplete. */
static struct finding *append(struct findings *f)
{
    struct finding *list = f->count < FINDINGS_MAX ? f->list : NULL;
    if (f->count < FINDINGS_MAX && (f->count & (f->count - 1)) == 0)
        list = reallocarray(f->list, f->count ? f->count * 2 : 1, sizeof(*list));
    if (!list) {
        f->incomplete = true;
        return NULL;
    }
    f->list = list;
    return &f->list[f->count++];
}

static bool rejects(const struct finding *n)
{
    return n->verdict != VERDICT_PASS && n->verdict != VERDICT_WAIVED;
}

void finding_add(struct findings *f, const char *check, enum verdict v, const char *expected,
                 const char *found)
{
    struct finding *n = append(f);
    if (!n)
        return;
    *n = (struct finding){.check = check,
                          .verdict = v,
                          .expected = expected ? strdup(expected) : NULL,
                          .found = found ? strdup(found) : NULL};
    f->rejected += rejects(n);
}

void finding_addf(struct findings *f, const char *check, enum verdict v, const char *expected,
                  const char *fmt, ...)
{
    char found[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(found, sizeof(found), fmt, ap);
    va_end(ap);
    finding_add(f, check, v, expected, found);
}

void finding_waive(struct findings *f, const char *check, enum waiver w, const char *fmt, ...)
{
    char by[256], found[4096];
    va_list ap;
    snprintf(by, sizeof(by), "rule %s: %s", waiver_name(w), waiver_rules[w].reason);
    va_start(ap, fmt);
    vsnprintf(found, sizeof(found), fmt, ap);
    va_end(ap);
    size_t before = f->count;
    finding_add(f, check, VERDICT_WAIVED, by, found);
    if (f->count > before)
        f->list[before].waiver = w;
}

void finding_remedy(struct findings *f, const char *fmt, ...)
{
    if (f->count == 0)
        return;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    struct finding *last = &f->list[f->count - 1];
    free(last->remedy);
    last->remedy = strdup(text);
}

void finding_free(struct finding *n)
{
    free(n->expected);
    free(n->found);
    free(n->remedy);
    *n = (struct finding){0};
}

void findings_take(struct findings *f, struct finding *one)
{
    struct finding *n = append(f);
    if (!n) {
        finding_free(one);
        return;
    }
    *n = *one;
    f->rejected += rejects(n);
    *one = (struct finding){0};
}

void findings_cut(struct findings *f, size_t count)
{
    while (f->count > count) {
        struct finding *last = &f->list[--f->count];
        f->rejected -= rejects(last);
        finding_free(last);
    }
}

void findings_move(struct findings *to, struct findings *from)
{
    to->incomplete |= from->incomplete;
    for (size_t i = 0; i < from->count; i++)
        findings_take(to, &from->list[i]);
    findings_free(from);
}

bool findings_pass(const struct findings *f)
{
    return f->count > 0 && f->rejected == 0 && !f->incomplete;
}

const struct finding *findings_first_reject(const struct findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].verdict == VERDICT_REJECT)
            return &f->list[i];
    return NULL;
}

void findings_free(struct findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        finding_free(&f->list[i]);
    free(f->list);
    *f = (struct findings){0};
}

const char *verdict_name(enum verdict v)
{
    switch (v) {
    case VERDICT_PASS:
        return "pass";
    case VERDICT_WAIVED:
        return "waived";
    default:
        return "reject";
    }
}
