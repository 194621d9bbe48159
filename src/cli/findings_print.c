#include "cli/findings_print.h"
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

void findings_print(FILE *out, const struct findings *f, enum findings_detail detail)
{
    for (size_t i = 0; i < f->count; i++)
        if (detail == FINDINGS_ALL || f->list[i].verdict == VERDICT_REJECT)
            print_finding(out, &f->list[i]);
    if (f->incomplete)
        fprintf(out, "%-7s some findings were lost: out of memory\n", "reject");
    fprintf(out, "verdict: %s (%zu passed, %zu waived, %zu rejected)\n",
            findings_pass(f) ? "pass" : "reject", count(f, VERDICT_PASS), count(f, VERDICT_WAIVED),
            count(f, VERDICT_REJECT));
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
