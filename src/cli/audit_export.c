/* `encroot audit export`: all records as one JSON array, for other programs to keep or to read. */
#include "appraise/record.h"
#include "base/io.h"
#include "cli/audit_options.h"
#include "cli/command.h"

#include <inttypes.h>
#include <string.h>

struct export
{
    struct audit_source source;
    const char *out;
    bool force, unverified;
};

/* A record as it stands there; of what is none, what it holds. */
static int write_line(FILE *out, const struct audit_reader *a, struct error *err)
{
    fputs(a->line == 1 ? "\n" : ",\n", out);
    if (a->record.json) {
        fwrite(a->text.data, 1, a->text.size, out);
        return 0;
    }
    _free_ char *text = text_escape(a->text, AUDIT_RECORD_MAX);
    _json_ json_t *o =
        text ? json_pack("{s:I, s:s}", "line", (json_int_t)a->line, "unreadable", text) : NULL;
    if (!o || json_dumpf(o, out, JSON_COMPACT) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

/* Without `out` it is only verified: nothing is written of a log that does not hold. */
static int walk(struct export *x, FILE *out, struct error *err)
{
    _audit_reader_ struct audit_reader a = {0};
    int r = audit_open(&a, &x->source, err);
    bool more = r == 0;
    while (r == 0 && more) {
        r = audit_reader_next(&a, err);
        more = r > 0;
        if (r >= 0 && a.broken.text[0] && !x->unverified) {
            *err = a.broken;
            return error_hint(err, -EUCLEAN, "--unverified exports it all the same");
        }
        if (more)
            r = out ? write_line(out, &a, err) : 0;
    }
    return r;
}

static int write_array(struct export *x, FILE *out, struct error *err)
{
    int r = walk(x, NULL, err);
    if (r < 0)
        return r;
    fputc('[', out);
    r = walk(x, out, err);
    fputs("\n]\n", out);
    return r;
}

static int write_to_file(struct export *x, struct error *err)
{
    _atomic_file_ struct atomic_file f = ATOMIC_FILE_NONE;
    int r = atomic_file_open(&f, x->out, 0600, x->force, err);
    if (r < 0)
        return r;
    _close_ int fd = dup(f.fd);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "we");
    if (!out)
        return error_errno(err, errno, "%s", x->out);
    TAKE_FD(fd);
    r = write_array(x, out, err);
    bool lost = ferror(out) != 0;
    lost |= fclose(out) != 0;
    if (r == 0 && lost)
        r = error_errno(err, errno ? errno : EIO, "%s", x->out);
    return r < 0 ? r : atomic_file_commit(&f, err);
}

int cmd_audit_export(int argc, char **argv)
{
    struct export x = {.source = AUDIT_SOURCE_DEFAULT};
    const struct option_spec options[] = {
        AUDIT_SOURCE_SPECS(x.source),
        {'o', "out", OPTION_STRING, "FILE", "where to (default: standard output)", &x.out, 0, 0},
        {0, "force", OPTION_FLAG, NULL, "replace an existing FILE", &x.force, 0, 0},
        {0, "unverified", OPTION_FLAG, NULL, "also a log that was changed: as it is", &x.unverified,
         0, 0},
        {0},
    };
    const struct usage usage = {
        .synopsis = "encroot audit export [-d DIR | --broker [ADDRESS]] [-o FILE] [--force]\n"
                    "                     [--unverified]",
        .about = "Write all records of `encroot unlock`, or of a broker, as one JSON array, after\n"
                 "verifying them.\n"
                 "With --unverified a line that is no record becomes an object with \"line\" and\n"
                 "\"unreadable\".\n\n"
                 "Exit status: 0 done, 3 records were changed and nothing was written, 4 no log.",
        .options = options,
        .example = "  encroot audit export -d keys -o audit.json",
    };
    int code = options_parse(&usage, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    const char *problem = audit_source_problem(&x.source);
    if (problem)
        return usage_error(&usage, "%s", problem);
    struct error err = {0};
    int r = x.out ? write_to_file(&x, &err) : write_array(&x, stdout, &err);
    audit_source_free(&x.source);
    return r < 0 ? report_error(&err, audit_exit_code(r), false) : EXIT_OK;
}
