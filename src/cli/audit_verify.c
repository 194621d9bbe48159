/* `encroot audit verify`: was the log changed? */
#include "base/hex.h"
#include "cli/audit_options.h"
#include "cli/audit_witness.h"
#include "cli/command.h"
#include "cli/plain_text.h"

#include <inttypes.h>
#include <string.h>

struct verify {
    struct audit_source source;
    const char *head; /* a hash that was written down, as text */
    bool json;
    uint8_t head_hash[AUDIT_HASH_SIZE];
    bool head_found;
    uint64_t head_at;                     /* the number of the record that has it */
    const char *checkpoint, *certificate; /* files, both or none */
    struct audit_witness witness;         /* with `checkpoint` */
    uint64_t recoveries;
    struct audit_state intact; /* after the last record before anything is wrong */
};

static void look(struct verify *v)
{
    audit_witness_see(&v->witness, &v->intact);
    if (v->head && memcmp(v->intact.hash, v->head_hash, AUDIT_HASH_SIZE) == 0) {
        v->head_found = true;
        v->head_at = v->intact.sequence;
    }
}

/* Up to the first line that is wrong: what follows it vouches for nothing. */
static int walk(struct verify *v, struct audit_reader *a, struct error *err)
{
    int r;
    look(v);
    while ((r = audit_reader_next(a, err)) > 0 && !a->broken.text[0]) {
        v->intact = a->state;
        look(v);
        if (a->record.recovered == 0)
            continue;
        v->recoveries++;
        if (!v->json)
            printf("note: record %" PRIu64 ": %" PRIu64 " bytes of an unfinished record before it "
                   "were moved to %s.torn\n",
                   a->record.sequence, a->record.recovered, a->path);
    }
    return r < 0 ? r : 0;
}

/* What is wrong, if anything: a line, or a chain that is sound but not the one it should be. */
static int judge(const struct verify *v, struct audit_reader *a)
{
    if (!a->broken.text[0] && v->head && !v->head_found) {
        error_set(&a->broken, EUCLEAN,
                  "%s: no record has the hash %s: the log was cut off, or replaced", a->path,
                  v->head);
        error_hint(&a->broken, -EUCLEAN, "compare it with another copy, `encroot audit export`");
    }
    if (!a->broken.text[0] && v->checkpoint &&
        audit_witness_judge(&v->witness, v->intact.sequence, a->path, &a->broken) < 0)
        return EXIT_REFUSED;
    return a->broken.text[0] ? EXIT_REFUSED : EXIT_OK;
}

static void print_json(const struct verify *v, const struct audit_reader *a, const char *head,
                       int code)
{
    bool at_line = a->problem.text[0];
    _json_ json_t *o = json_pack("{s:b, s:I, s:s, s:I, s:i}", "intact", code == EXIT_OK, "records",
                                 (json_int_t)v->intact.sequence, "head", head, "recoveries",
                                 (json_int_t)v->recoveries, "exit", code);
    if (v->head)
        json_object_set_new(o, "since_head",
                            v->head_found
                                ? json_integer((json_int_t)(v->intact.sequence - v->head_at))
                                : json_null());
    if (v->checkpoint)
        json_object_set_new(o, "checkpoint", audit_witness_json(&v->witness, !at_line));
    if (at_line)
        json_object_set_new(o, "line", json_integer((json_int_t)a->line));
    if (a->broken.text[0])
        json_object_set_new(o, "error", plain_json(a->broken.text));
    if (a->broken.hint[0])
        json_object_set_new(o, "hint", plain_json(a->broken.hint));
    json_dumpf(o, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
}

static void print_text(const struct verify *v, const char *head, int code)
{
    printf("%s: %" PRIu64 " records\nhead: %s\n", code == EXIT_OK ? "intact" : "intact up to here",
           v->intact.sequence, head);
    if (v->head_found)
        printf("since %s: %" PRIu64 " records\n", v->head, v->intact.sequence - v->head_at);
    if (v->checkpoint && v->witness.holds)
        printf("since the checkpoint: %" PRIu64 " records\n",
               v->intact.sequence - v->witness.checkpoint.state.sequence);
}

static int report(const struct verify *v, struct audit_reader *a)
{
    char head[2 * AUDIT_HASH_SIZE + 1];
    hex_encode(BYTES_OF(v->intact.hash), head);
    int code = judge(v, a);
    if (v->json) {
        print_json(v, a, head, code);
        return code;
    }
    print_text(v, head, code);
    return audit_conclude(a);
}

int cmd_audit_verify(int argc, char **argv)
{
    struct verify v = {.source = AUDIT_SOURCE_DEFAULT};
    const struct option_spec options[] = {
        AUDIT_SOURCE_SPECS(v.source),
        {0, "head", OPTION_STRING, "HASH",
         "a hash that an earlier `verify` or `unlock` printed and\n"
         "that was kept elsewhere: that record must still be there",
         &v.head, 0, 0},
        {0, "checkpoint", OPTION_STRING, "FILE",
         "what `encroot audit checkpoint` signed earlier and was\n"
         "kept elsewhere: that record must still be there",
         &v.checkpoint, 0, 0},
        {0, "certificate", OPTION_STRING, "PEM",
         "with --checkpoint: the certificate of the broker that\n"
         "signed it (its broker.crt, or its public key)",
         &v.certificate, 0, 0},
        AUDIT_JSON_OPTION(v.json),
        {0},
    };
    const struct usage usage = {
        .synopsis = "encroot audit verify [-d DIR | --broker [ADDRESS]] [--head HASH]\n"
                    "                     [--checkpoint FILE --certificate PEM] [--json]",
        .about =
            "Verify the chain of records of `encroot unlock`, or of a broker (whose records are\n"
            "all fetched and verified here): none was changed, removed, put in or\n"
            "moved. Says which line is the first that is wrong, and how; prints the number of\n"
            "records and the hash of the last one, the head. A chain whose end was cut off, or "
            "that\n"
            "was made anew, is sound in itself: only a head or a checkpoint that was kept "
            "elsewhere\n"
            "shows it. What a broker's store keeps beside each record, to count and find it by,\n"
            "must be what the record says.\n\n"
            "Exit status: 0 intact, 3 records were changed, 4 no log, no such checkpoint.",
        .options = options,
        .example = "  encroot audit verify -d keys --checkpoint /elsewhere/monday.checkpoint \\\n"
                   "      --certificate /elsewhere/broker.crt",
    };
    int code = options_parse(&usage, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    if (v.head && hex_decode(v.head, v.head_hash, AUDIT_HASH_SIZE) < 0)
        return usage_error(&usage, "--head: expected %d hexadecimal digits, found \"%s\"",
                           2 * AUDIT_HASH_SIZE, v.head);
    if (!v.checkpoint != !v.certificate)
        return usage_error(&usage, "--checkpoint and --certificate go together");
    const char *problem = audit_source_problem(&v.source);
    if (problem)
        return usage_error(&usage, "%s", problem);
    _audit_reader_ struct audit_reader a = {0};
    struct error err = {0};
    int r = v.checkpoint ? audit_witness_load(&v.witness, v.checkpoint, v.certificate, &err) : 0;
    if (r == -EKEYREJECTED)
        return report_error(&err, EXIT_BAD_INPUT, v.json);
    if (r == 0)
        r = audit_open(&a, &v.source, &err);
    if (r == 0)
        r = walk(&v, &a, &err);
    code = r < 0 ? report_error(&err, audit_exit_code(r), v.json) : report(&v, &a);
    audit_source_free(&v.source);
    return code;
}
