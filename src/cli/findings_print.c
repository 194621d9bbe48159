#include "cli/findings_print.h"
#include "appraise/trust_vector.h"
#include "cli/plain_text.h"

#include <string.h>

#define LABEL_WIDTH 9

static void print_line(FILE *out, const char *label, const char *text)
{
    if (!text)
        return;
    fprintf(out, "        %-*s ", LABEL_WIDTH, label);
    plain_print(out, text);
    fputc('\n', out);
}

static void print_finding(FILE *out, const struct finding *n)
{
    fprintf(out, "%-7s %s\n", verdict_name(n->verdict), n->check);
    bool same = n->expected && n->found && strcmp(n->expected, n->found) == 0;
    print_line(out, n->verdict == VERDICT_WAIVED ? "by" : "expected", same ? NULL : n->expected);
    print_line(out, "found", n->found);
    print_line(out, "remedy", n->remedy);
}

static size_t count(const struct findings *f, enum verdict v)
{
    size_t n = 0;
    for (size_t i = 0; i < f->count; i++)
        n += f->list[i].verdict == v;
    return n;
}

/* What was accepted though nobody looked at it: the operator must not have to search for that. */
static void print_unseen(FILE *out, const struct findings *f)
{
    const char *separator = "accepted unseen: ";
    waiver_set told = WAIVERS_NONE;
    for (size_t i = 0; i < f->count; i++) {
        const struct finding *n = &f->list[i];
        if (n->verdict != VERDICT_WAIVED || !waiver_rules[n->waiver].loses || told >> n->waiver & 1)
            continue;
        told |= (waiver_set)1 << n->waiver;
        fprintf(out, "%s%s", separator, waiver_name(n->waiver));
        separator = ", ";
    }
    if (told)
        fputs(" (a policy can pin these: encroot policy new)\n", out);
}

void findings_print(FILE *out, const struct findings *f, enum findings_detail detail)
{
    for (size_t i = 0; i < f->count; i++)
        if (detail == FINDINGS_ALL || f->list[i].verdict == VERDICT_REJECT)
            print_finding(out, &f->list[i]);
    if (f->incomplete)
        fprintf(out, "%-7s some findings were lost: out of memory\n", "reject");
    print_unseen(out, f);
    fprintf(out, "verdict: %s (%zu passed, %zu waived, %zu rejected)\n",
            findings_pass(f) ? "pass" : "reject", count(f, VERDICT_PASS), count(f, VERDICT_WAIVED),
            count(f, VERDICT_REJECT));
}

static json_t *vector_json(const struct findings *f)
{
    const struct trust_vector v = trust_vector_of(f);
    json_t *j = json_pack("{s:s}", "status", trust_tier_name(v.status));
    for (int c = 0; c < TRUST_CLAIM_COUNT; c++)
        json_object_set_new(j, trust_claim_name((enum trust_claim)c),
                            json_string(trust_tier_name(v.claims[c])));
    return j;
}

static void put_text(json_t *object, const char *key, const char *text)
{
    if (text)
        json_object_set_new(object, key, plain_json(text));
}

json_t *findings_json(const struct findings *f)
{
    json_t *root = json_object();
    json_t *list = json_array();
    json_object_set_new(root, "verdict", json_string(findings_pass(f) ? "pass" : "reject"));
    json_object_set_new(root, "ar4si", vector_json(f));
    for (size_t i = 0; i < f->count; i++) {
        json_t *j = json_object();
        put_text(j, "check", f->list[i].check);
        put_text(j, "verdict", verdict_name(f->list[i].verdict));
        put_text(j, "expected", f->list[i].expected);
        put_text(j, "found", f->list[i].found);
        put_text(j, "remedy", f->list[i].remedy);
        json_array_append_new(list, j);
    }
    if (json_object_set_new(root, "findings", list) < 0) {
        json_decref(root);
        return NULL;
    }
    return root;
}
