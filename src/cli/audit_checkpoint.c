/* `encroot audit checkpoint`: sign the end of the chain, to be kept elsewhere. */
#include "base/io.h"
#include "broker/audit_checkpoint.h"
#include "cli/audit_options.h"
#include "cli/command.h"
#include "crypto/tls.h"

#include <inttypes.h>
#include <string.h>

struct checkpoint {
    struct audit_source source;
    const char *out;
    bool force;
};

/* Only what is intact is vouched for. */
static int walk(struct audit_source *source, struct audit_state *ret, struct error *err)
{
    _audit_reader_ struct audit_reader a = {0};
    int r = audit_open(&a, source, err);
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

/* The end of a folder's records, signed here. */
static int make(struct audit_source *source, struct audit_checkpoint *ret, struct error *err)
{
    *ret = (struct audit_checkpoint){.broker = "unlock", .time = time(NULL)};
    int r = walk(source, &ret->state, err);
    return r < 0 ? r : sign(&source->paths, ret, err);
}

/* The end of a broker's records, signed there: no key leaves the broker. */
static int fetch(struct audit_source *source, struct audit_checkpoint *ret, struct error *err)
{
    _json_ json_t *answer = NULL;
    int r = admin_client_of(&source->client, &source->admin, err);
    if (r == 0)
        r = admin_call(&source->client, "GET", "/v1/audit/checkpoint", NULL, &answer, err);
    if (r < 0)
        return r;
    _free_ char *text = json_dumps(answer, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return error_set(err, ENOMEM, "out of memory");
    r = audit_checkpoint_parse(ret, BYTES_STR(text), source->client.address.text, err);
    return r < 0 ? -EPROTO : 0;
}

int cmd_audit_checkpoint(int argc, char **argv)
{
    struct checkpoint x = {.source = AUDIT_SOURCE_DEFAULT};
    const struct option_spec options[] = {
        AUDIT_SOURCE_SPECS(x.source),
        {'o', "out", OPTION_STRING, "FILE", "where to (default: standard output)", &x.out, 0, 0},
        {0, "force", OPTION_FLAG, NULL, "replace an existing FILE", &x.force, 0, 0},
        {0},
    };
    const struct usage usage = {
        .synopsis = "encroot audit checkpoint [-d DIR | --broker [ADDRESS]] [-o FILE] [--force]",
        .about =
            "Verify the records of `encroot unlock`, and sign number and hash of the last one\n"
            "with the broker's key (DIR/broker.key); or have a broker sign the end of its own.\n"
            "Keep the checkpoint where nobody can write who may write the records: `encroot\n"
            "audit verify --checkpoint` then shows if their end was cut off, or if they were\n"
            "made anew.\n\n"
            "Exit status: 0 done, 3 records were changed and nothing was signed, 4 no log or key,\n"
            "5 the broker does not answer.",
        .options = options,
        .example = "  encroot audit checkpoint -d keys -o /elsewhere/$(date +%F).checkpoint\n"
                   "  encroot audit checkpoint --broker -o /elsewhere/$(date +%F).checkpoint",
    };
    int code = options_parse(&usage, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    const char *problem = audit_source_problem(&x.source);
    if (problem)
        return usage_error(&usage, "%s", problem);
    struct audit_checkpoint c;
    struct error err = {0};
    int r = x.source.admin.broker ? fetch(&x.source, &c, &err) : make(&x.source, &c, &err);
    if (r == 0)
        r = give(&x, &c, &err);
    audit_source_free(&x.source);
    return r < 0 ? report_error(&err, audit_exit_code(r), false) : EXIT_OK;
}
