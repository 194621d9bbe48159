/* `encroot audit export`: all records as one JSON array, for other programs to keep or to read. */
#include "appraise/record.h"
#include "base/io.h"
#include "cli/audit_options.h"
#include "cli/command.h"

#include <inttypes.h>
#include <string.h>

struct export
{
    const char *folder, *out;
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
static int walk(const struct export *x, const char *path, FILE *out, struct error *err)
{
    _audit_reader_ struct audit_reader a = {0};
    int r = audit_reader_open(&a, path, err);
    while (r >= 0 && (r = audit_reader_next(&a, err)) > 0) {
        if (a.broken.text[0] && !x->unverified) {
            *err = a.broken;
            return error_hint(err, -EUCLEAN, "--unverified exports it all the same");
        }
        r = out ? write_line(out, &a, err) : 0;
    }
    return r;
}

static int write_array(const struct export *x, const char *path, FILE *out, struct error *err)
{
    int r = walk(x, path, NULL, err);
    if (r < 0)
        return r;
    fputc('[', out);
    r = walk(x, path, out, err);
    fputs("\n]\n", out);
    return r;
}

static int write_to_file(const struct export *x, const char *path, struct error *err)
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
    r = write_array(x, path, out, err);
    bool lost = ferror(out) != 0;
    lost |= fclose(out) != 0;
    if (r == 0 && lost)
        r = error_errno(err, errno ? errno : EIO, "%s", x->out);
    return r < 0 ? r : atomic_file_commit(&f, err);
}

int cmd_audit_export(int argc, char **argv)
{
    struct export x = {.folder = "."};
    const struct option_spec options[] = {
        AUDIT_DIR_OPTION(x.folder),
        {'o', "out", OPTION_STRING, "FILE", "where to (default: standard output)", &x.out, 0, 0},
        {0, "force", OPTION_FLAG, NULL, "replace an existing FILE", &x.force, 0, 0},
        {0, "unverified", OPTION_FLAG, NULL, "also a log that was changed: as it is", &x.unverified,
         0, 0},
        {0},
    };
    const struct usage usage = {
        .synopsis = "encroot audit export [-d DIR] [-o FILE] [--force] [--unverified]",
        .about = "Write all records of `encroot unlock` as one JSON array, after verifying them.\n"
                 "With --unverified a line that is no record becomes an object with \"line\" and\n"
                 "\"unreadable\".\n\n"
                 "Exit status: 0 done, 3 records were changed and nothing was written, 4 no log.",
        .options = options,
        .example = "  encroot audit export -d keys -o audit.json",
    };
    int code = options_parse(&usage, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    _cleanup_(paths_free) struct paths paths = {0};
    struct error err = {0};
    int r = paths_of(&paths, x.folder, &err);
    if (r == 0)
        r = x.out ? write_to_file(&x, paths.audit, &err)
                  : write_array(&x, paths.audit, stdout, &err);
    code = r == -EUCLEAN ? EXIT_REFUSED : exit_code_for(r);
    return r < 0 ? report_error(&err, code, false) : EXIT_OK;
}
