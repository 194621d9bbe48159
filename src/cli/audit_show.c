/* `encroot audit show ID`: one decision, with every reason; or one change. */
#include "cli/audit_kept.h"
#include "cli/audit_options.h"
#include "cli/command.h"
#include "cli/plain_text.h"

#include <inttypes.h>
#include <string.h>

#define LABEL_WIDTH 16

static void print_member(const json_t *o, const char *key, const char *label, int indent)
{
    const char *text = json_string_value(json_object_get(o, key));
    if (!text)
        return;
    printf("%*s%-*s ", indent, "", LABEL_WIDTH - indent, label);
    plain_print(stdout, text);
    putchar('\n');
}

static void print_rejection(const json_t *f)
{
    fputs("reject ", stdout);
    plain_print(stdout, json_string_value(json_object_get(f, "check")));
    putchar('\n');
    print_member(f, "expected", "expected", 6);
    print_member(f, "found", "found", 6);
    print_member(f, "remedy", "remedy", 6);
}

static void print_findings(const json_t *record)
{
    size_t i, rejected = 0;
    const json_t *f, *list = json_object_get(record, "findings");
    json_array_foreach(list, i, f)
    {
        if (strcmp(json_string_value(json_object_get(f, "verdict")), "reject") != 0)
            continue;
        print_rejection(f);
        rejected++;
    }
    json_int_t omitted = json_integer_value(json_object_get(record, "omitted"));
    printf("%zu checks: %zu rejected, %zu passed or waived", i, rejected, i - rejected);
    if (omitted)
        printf("; %" JSON_INTEGER_FORMAT " more had no room in the record", omitted);
    putchar('\n');
}

static void print_text(const struct audit_record *r)
{
    static const char *const members[] = {
        "time",     "id",       "verdict", "action", "user",           "volume",
        "detail",   "platform", "broker",  "peer",   "request_sha256", "evidence_sha256",
        "previous", "hash",
    };
    printf("%-*s %" PRIu64 "\n", LABEL_WIDTH, "sequence", r->sequence);
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        print_member(r->json, members[i], members[i], 0);
    if (r->recovered)
        printf("%-*s %" PRIu64 " bytes of an unfinished record before it were moved away\n",
               LABEL_WIDTH, "recovered", r->recovered);
    if (r->verdict != AUDIT_CHANGED)
        print_findings(r->json);
}

/* The whole log is read: a record is worth as much as its chain. */
static int show(struct audit_reader *a, const char *id, bool json, struct error *err)
{
    bool found = false;
    int r;
    while ((r = audit_reader_next(a, err)) > 0) {
        if (found || !a->record.json || strcmp(a->record.id, id) != 0)
            continue;
        found = true;
        if (json) {
            json_dumpf(a->record.json, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_SORT_KEYS);
            putchar('\n');
        } else {
            print_text(&a->record);
        }
    }
    if (r == 0 && !found)
        r = error_hint(err, error_set(err, ENOENT, "%s: no record has the id %s", a->path, id),
                       "`encroot audit list` lists them");
    return r;
}

static int show_of_folder(struct audit_source *source, const char *id, bool json)
{
    _audit_reader_ struct audit_reader a = {0};
    struct error err = {0};
    int r = audit_open(&a, source, &err);
    if (r == 0)
        r = show(&a, id, json, &err);
    return r < 0 ? report_error(&err, exit_code_for(r), json) : audit_conclude(&a);
}

/* A broker's log may be long: this record alone is verified. */
static int show_of_broker(const struct audit_source *source, const char *id, bool json)
{
    _audit_kept_ struct audit_kept kept = {0};
    struct admin_client c;
    struct error err = {0};
    int r = admin_client_of(&c, &source->admin, &err);
    if (r == 0)
        r = audit_kept_get(&kept, &c, id, &err);
    if (r < 0)
        return report_error(&err, audit_exit_code(r), json);
    if (json) {
        _json_ json_t *j = audit_kept_json(&kept);
        admin_print_json(j);
        return EXIT_OK;
    }
    print_text(&kept.record);
    audit_kept_print(&kept);
    return EXIT_OK;
}

int cmd_audit_show(int argc, char **argv)
{
    _audit_source_ struct audit_source source = AUDIT_SOURCE_DEFAULT;
    bool json = false;
    int first;
    const struct option_spec options[] = {
        AUDIT_SOURCE_SPECS(source),
        AUDIT_JSON_OPTION(json),
        {0},
    };
    const struct usage usage = {
        .synopsis = "encroot audit show ID [-d DIR | --broker [ADDRESS]] [--json]",
        .about =
            "Show one record of `encroot unlock`, or of a broker, as it was made. Of a denial:\n"
            "each check that rejected, what was expected, what came, and what to do if the change\n"
            "was intended. Of what an administrator of a broker changed: who, what and how. A\n"
            "refused guest shows the id on its console. The chain of a folder's records is\n"
            "verified on the way; of a broker's this record is. If the broker still keeps the\n"
            "guest's evidence, it is appraised again here, by the policy that is in force now,\n"
            "and each check is shown.\n\n"
            "Exit status: 0 an intact log, 3 records were changed, 4 no log, no such id.",
        .options = options,
        .example = "  encroot audit show -d keys 0f5c6a7e8b9d4c3f2a1b0c9d8e7f6a5b",
    };
    int code = options_parse(&usage, argc, argv, &first);
    if (code != OPTIONS_DONE)
        return code;
    if (argc - first != 1)
        return usage_error(&usage, "expected one id, found %d", argc - first);
    const char *problem = audit_source_problem(&source);
    if (problem)
        return usage_error(&usage, "%s", problem);
    return source.admin.broker ? show_of_broker(&source, argv[first], json)
                               : show_of_folder(&source, argv[first], json);
}
