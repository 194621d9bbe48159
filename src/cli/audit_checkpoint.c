/* `encroot audit checkpoint`: sign the end of the chain, to be kept elsewhere. */
#include "base/io.h"
#include "broker/audit_checkpoint.h"
#include "cli/audit_options.h"
#include "cli/command.h"
#include "crypto/tls.h"

#include <inttypes.h>
#include <string.h>

struct checkpoint {
    const char *folder, *out;
    bool force;
};

/* Only what is intact is vouched for. */
static int walk(const char *path, struct audit_state *ret, struct error *err)
{
    _audit_reader_ struct audit_reader a = {0};
    int r = audit_reader_open(&a, path, err);
    while (r >= 0 && (r = audit_reader_next(&a, err)) > 0)
        if (a.broken.text[0]) {
            *err = a.broken;
            return -EUCLEAN;
        }
    if (r == 0)
        *ret = a.state;
    return r;
}

static int sign(const struct paths *paths, struct audit_checkpoint *c, struct error *err)
{
    _tls_identity_ struct tls_identity *id = NULL;
    _buffer_ struct buffer der = {.max = sizeof(c->signature)};
    int r = tls_identity_load(&id, paths->broker_key, paths->broker_cert, err);
    if (r == 0)
        r = audit_checkpoint_sign(tls_identity_key(id), &c->state, c->time, &der, err);
    if (r < 0)
        return error_prefix(err, r, "%s", paths->broker_key);
    memcpy(c->signature, der.data, der.size);
    c->signature_size = der.size;
    return 0;
}

static int give(const struct checkpoint *x, const struct audit_checkpoint *c, struct error *err)
{
    _buffer_ struct buffer text = {0};
    int r = audit_checkpoint_format(c, &text, err);
    if (r < 0)
        return r;
    if (!x->out) {
        fwrite(text.data, 1, text.size, stdout);
        return 0;
    }
    r = write_file_atomic(x->out, buffer_bytes(&text), 0644, x->force, err);
    if (r == 0)
        printf("signed: record %" PRIu64 ", the last of now\n", c->state.sequence);
    return r;
}

int cmd_audit_checkpoint(int argc, char **argv)
{
    struct checkpoint x = {.folder = "."};
    const struct option_spec options[] = {
        AUDIT_DIR_OPTION(x.folder),
        {'o', "out", OPTION_STRING, "FILE", "where to (default: standard output)", &x.out, 0, 0},
        {0, "force", OPTION_FLAG, NULL, "replace an existing FILE", &x.force, 0, 0},
        {0},
    };
    const struct usage usage = {
        .synopsis = "encroot audit checkpoint [-d DIR] [-o FILE] [--force]",
        .about =
            "Verify the records of `encroot unlock`, and sign number and hash of the last one "
            "with\n"
            "the broker's key (DIR/broker.key). Keep the checkpoint where nobody can write who "
            "may\n"
            "write the log: `encroot audit verify --checkpoint` then shows if the log's end was\n"
            "cut off, or if it was made anew.\n\n"
            "Exit status: 0 done, 3 records were changed and nothing was signed, 4 no log or key.",
        .options = options,
        .example = "  encroot audit checkpoint -d keys -o /elsewhere/$(date +%F).checkpoint",
    };
    int code = options_parse(&usage, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    _cleanup_(paths_free) struct paths paths = {0};
    struct audit_checkpoint c = {.broker = "unlock", .time = time(NULL)};
    struct error err = {0};
    int r = paths_of(&paths, x.folder, &err);
    if (r == 0)
        r = walk(paths.audit, &c.state, &err);
    if (r == 0)
        r = sign(&paths, &c, &err);
    if (r == 0)
        r = give(&x, &c, &err);
    code = r == -EUCLEAN ? EXIT_REFUSED : exit_code_for(r);
    return r < 0 ? report_error(&err, code, false) : EXIT_OK;
}
