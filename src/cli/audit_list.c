/* `encroot audit list`: a line for each decision and each change. */
#include "base/hex.h"
#include "cli/audit_options.h"
#include "cli/command.h"
#include "cli/plain_text.h"

#include <string.h>

struct list {
    struct audit_source source;
    const char *volume; /* only this one, if not NULL */
    bool denied, changes, json;
    char volume_text[UUID_TEXT_SIZE];
    bool begun; /* a record was printed */
};

static void list_free(struct list *l)
{
    audit_source_free(&l->source);
}

static bool is_wanted(const struct list *l, const struct audit_record *r)
{
    if ((l->denied && r->verdict != AUDIT_DENIED) || (l->changes && r->verdict != AUDIT_CHANGED))
        return false;
    return !l->volume || (r->volume && strcmp(r->volume, l->volume_text) == 0);
}

static void print_text(const struct audit_record *r)
{
    printf("%s  %s  %-36s  %-7s  ", r->time, r->id, r->volume ? r->volume : "-",
           audit_verdict_name(r->verdict));
    const char *const said[] = {r->user ? r->user : r->peer, r->action ? r->action : r->reason,
                                r->detail};
    for (size_t i = 0; i < ARRAY_SIZE(said) && said[i]; i++) {
        fputs(i ? "  " : "", stdout);
        plain_print(stdout, said[i]);
    }
    putchar('\n');
}

/* One at a time: the list may be longer than memory. */
static void print_json(struct list *l, const struct audit_record *r)
{
    _json_ json_t *o =
        json_pack("{s:I, s:s, s:s, s:s, s:s?, s:b}", "sequence", (json_int_t)r->sequence, "time",
                  r->time, "id", r->id, "verdict", audit_verdict_name(r->verdict), "volume",
                  r->volume, "granted", r->verdict == AUDIT_GRANTED);
    const struct said {
        const char *key, *value;
    } decision[] = {{"peer", r->peer}, {"reason", r->reason}, {NULL, NULL}},
      change[] = {{"user", r->user}, {"action", r->action}, {"detail", r->detail}, {NULL, NULL}};
    for (const struct said *s = r->action ? change : decision; s->key; s++)
        json_object_set_new(o, s->key, s->value ? plain_json(s->value) : json_null());
    fputs(l->begun ? ",\n    " : "\n    ", stdout);
    json_dumpf(o, stdout, JSON_ENSURE_ASCII);
    l->begun = true;
}

static void end_json(const struct error *broken, const struct error *failed)
{
    const struct error *e = failed->text[0] ? failed : broken;
    _json_ json_t *text = plain_json(e->text);
    printf("\n  ],\n  \"intact\": %s,\n  \"error\": ", e->text[0] ? "false" : "true");
    json_dumpf(e->text[0] ? text : json_null(), stdout, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    puts("\n}");
}

static int print_list(struct list *l, struct audit_reader *a)
{
    struct error err = {0};
    int r;
    if (l->json)
        fputs("{\n  \"records\": [", stdout);
    while ((r = audit_reader_next(a, &err)) > 0) {
        if (!a->record.json || !is_wanted(l, &a->record))
            continue;
        if (l->json)
            print_json(l, &a->record);
        else
            print_text(&a->record);
    }
    if (l->json) {
        end_json(&a->broken, &err);
        return r < 0 ? audit_exit_code(r) : a->broken.text[0] ? EXIT_REFUSED : EXIT_OK;
    }
    return r < 0 ? report_error(&err, audit_exit_code(r), false) : audit_conclude(a);
}

int cmd_audit_list(int argc, char **argv)
{
    _cleanup_(list_free) struct list l = {.source = AUDIT_SOURCE_DEFAULT};
    const struct option_spec options[] = {
        AUDIT_SOURCE_SPECS(l.source),
        {0, "volume", OPTION_STRING, "UUID", "only what is about this volume", &l.volume, 0, 0},
        {0, "denied", OPTION_FLAG, NULL, "only denials", &l.denied, 0, 0},
        {0, "changes", OPTION_FLAG, NULL, "only what administrators changed, with --broker",
         &l.changes, 0, 0},
        {0, "last", OPTION_UINT, "N",
         "with --broker: only among the last N records; what comes\nbefore them is not verified",
         &l.source.last, 1, INT64_MAX},
        AUDIT_JSON_OPTION(l.json),
        {0},
    };
    const struct usage usage = {
        .synopsis = "encroot audit list [-d DIR | --broker [ADDRESS]] [--volume UUID]\n"
                    "                   [--denied | --changes] [--last N] [--json]",
        .about =
            "List the decisions of `encroot unlock`, or of a broker, the newest last: time, id,\n"
            "volume, verdict, peer and, of a denial, the check that rejected first; of what an\n"
            "administrator of a broker changed: who, what and how. The chain of records is\n"
            "verified on the way.\n\n"
            "Exit status: 0 an intact log, 3 records were changed, 4 no log,\n"
            "5 the broker does not answer.",
        .options = options,
        .example = "  encroot audit list -d keys --denied\n"
                   "  encroot audit list --broker --last 20",
    };
    int code = options_parse(&usage, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    uint8_t uuid[16];
    if (l.volume && uuid_parse(l.volume, uuid) < 0)
        return usage_error(&usage, "--volume: \"%s\" is not a UUID", l.volume);
    if (l.denied && l.changes)
        return usage_error(&usage, "--denied and --changes exclude each other");
    if (l.volume)
        uuid_format(uuid, l.volume_text);
    const char *problem = audit_source_problem(&l.source);
    if (problem)
        return usage_error(&usage, "%s", problem);
    _audit_reader_ struct audit_reader a = {0};
    struct error err = {0};
    int r = audit_open(&a, &l.source, &err);
    return r < 0 ? report_error(&err, audit_exit_code(r), l.json) : print_list(&l, &a);
}
