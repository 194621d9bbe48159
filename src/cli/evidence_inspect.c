/* `encroot evidence inspect FILE`: any token, certificate, event log or saved evidence. */
#include "base/hex.h"
#include "base/io.h"
#include "cli/command.h"
#include "cli/findings_print.h"
#include "cli/inspect.h"
#include "cli/options.h"
#include "cli/verify_token.h"
#include "protocol/evidence.h"

#include <string.h>

static bool starts(struct bytes in, const char *with, size_t n)
{
    return in.size >= n && memcmp(in.data, with, n) == 0;
}

static bool is_evidence(struct bytes in)
{
    size_t i = 0;
    while (i < in.size && strchr(" \t\r\n", in.data[i]) && in.data[i])
        i++;
    return i < in.size && in.data[i] == '{';
}

static bool is_event_log(struct bytes in)
{
    return in.size > 48 && memcmp(in.data + 32, "Spec ID Event03", 16) == 0;
}

static bool is_certificate(struct bytes in)
{
    return starts(in, "-----BEGIN ", 11) || starts(in, "\x30\x82", 2);
}

static bool is_token(struct bytes in)
{
    return in.size > 0 && in.data[0] >> 5 == 6; /* CBOR: a tag */
}

/* ---- saved evidence: every part that can be read, and why another cannot ---- */

static void put_part(json_t *root, const char *key, json_t *part, int r, const struct error *err)
{
    if (r < 0)
        inspect_put_text(root, key, BYTES_STR(err->text));
    else
        json_object_set_new(root, key, part);
}

static int inspect_evidence(json_t **ret, struct bytes in, bool ccel, struct error *err)
{
    _evidence_ struct evidence e = {0};
    char volume[UUID_TEXT_SIZE];
    struct error why = {0};
    json_t *part = NULL;
    (void)ccel; /* the file says it */
    int r = evidence_parse(&e, in, "evidence", err);
    if (r < 0)
        return r;
    json_t *root = json_object();
    uuid_format(e.volume, volume);
    json_object_set_new(root, "volume", json_string(volume));
    inspect_put_text(root, "platform", BYTES_STR(e.platform));
    if (e.has_challenge)
        inspect_put_hex(root, "challenge", BYTES_OF(e.challenge));
    r = inspect_token(&part, buffer_bytes(&e.token), &why);
    put_part(root, "token", part, r, &why);
    r = inspect_certificate(&part, buffer_bytes(&e.certificate), &why);
    put_part(root, "certificate", part, r, &why);
    r = inspect_event_log(&part, buffer_bytes(&e.event_log), e.log_format == EVENT_LOG_TCG2, &why);
    put_part(root, "event_log", part, r, &why);
    *ret = root;
    return 0;
}

/* ---- the token in it, to be verified ---- */

static int token_of_evidence(struct buffer *ret, struct bytes in, struct error *err)
{
    _evidence_ struct evidence e = {0};
    int r = evidence_parse(&e, in, "evidence", err);
    return r < 0 ? r : buffer_append(ret, e.token.data, e.token.size);
}

static int token_itself(struct buffer *ret, struct bytes in, struct error *err)
{
    (void)err;
    return buffer_append(ret, in.data, in.size);
}

/* ---- kinds of files ---- */

static int token(json_t **ret, struct bytes in, bool ccel, struct error *err)
{
    (void)ccel;
    return inspect_token(ret, in, err);
}

static int certificate(json_t **ret, struct bytes in, bool ccel, struct error *err)
{
    (void)ccel;
    return inspect_certificate(ret, in, err);
}

static int event_log(json_t **ret, struct bytes in, bool ccel, struct error *err)
{
    return inspect_event_log(ret, in, !ccel, err);
}

static const struct kind {
    const char *title;
    bool (*is)(struct bytes in);
    int (*inspect)(json_t **ret, struct bytes in, bool ccel, struct error *err);
    int (*token)(struct buffer *ret, struct bytes in, struct error *err); /* NULL: it has none */
} kinds[] = {
    {"evidence", is_evidence, inspect_evidence, token_of_evidence},
    {"event log", is_event_log, event_log, NULL},
    {"certificate", is_certificate, certificate, NULL},
    {"attestation token", is_token, token, token_itself},
};

struct arguments {
    const char *platform_key; /* NULL: do not verify */
    bool ccel, json;
};

struct result {
    json_t *shown;
    const char *title;
    struct findings verification; /* with a platform key */
};

static void result_free(struct result *r)
{
    json_decref(r->shown);
    findings_free(&r->verification);
}

static int verify(struct findings *f, const struct kind *kind, struct bytes in, EVP_PKEY *key,
                  struct error *err)
{
    _buffer_ struct buffer token = {0};
    if (!kind->token)
        return error_set(err, EINVAL, "no token, which --platform-key could verify");
    int r = kind->token(&token, in, err);
    return r < 0 ? r : verify_token(f, buffer_bytes(&token), key, err);
}

static const struct kind *kind_of(struct bytes in)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].is(in))
            return &kinds[i];
    return NULL;
}

static int inspect(const char *path, const struct arguments *a, struct result *ret,
                   struct error *err)
{
    _buffer_ struct buffer file = {0};
    _evp_pkey_ EVP_PKEY *key = NULL;
    int r = a->platform_key ? platform_key_load(&key, a->platform_key, err) : 0;
    if (r == 0)
        r = read_file(path, EVIDENCE_JSON_MAX, &file, err);
    if (r < 0)
        return r;
    struct bytes in = buffer_bytes(&file);
    const struct kind *kind = kind_of(in);
    if (!kind)
        return error_set(err, EBADMSG,
                         "%s: neither saved evidence, nor a token, a certificate or an event log",
                         path);
    ret->title = kind->title;
    r = kind->inspect(&ret->shown, in, a->ccel, err);
    if (r == 0 && key)
        r = verify(&ret->verification, kind, in, key, err);
    return r < 0 ? error_prefix(err, r, "%s: %s", path, kind->title) : 0;
}

static void print_json(struct result *r, const struct arguments *a)
{
    if (a->platform_key)
        json_object_set_new(r->shown, "verification", findings_json(&r->verification));
    json_dumpf(r->shown, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
}

static void print_text(const struct result *r, const struct arguments *a)
{
    if (!a->platform_key)
        printf("%s, not verified\n", r->title);
    else if (findings_pass(&r->verification))
        printf("%s, signatures and binding verified, nothing else\n", r->title);
    else
        printf("%s, which does NOT verify: see the end\n", r->title);
    inspect_print(stdout, r->shown);
    if (a->platform_key)
        findings_print(stdout, &r->verification, FINDINGS_ALL);
}

int cmd_evidence_inspect(int argc, char **argv)
{
    struct arguments a = {0};
    const struct option_spec options[] = {
        {0, "platform-key", OPTION_STRING, "FILE",
         "verify the token: its platform part against this public key\nor certificate (PEM, DER "
         "or JSON Web Key), its CVM part, and\nwhat binds the two",
         &a.platform_key, 0, 0},
        {0, "ccel", OPTION_FLAG, NULL,
         "a bare event log is a CCEL: its indices are registers,\nnot PCRs", &a.ccel, 0, 0},
        {0, "json", OPTION_FLAG, NULL, "print it as JSON", &a.json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot evidence inspect FILE [--platform-key FILE] [--ccel] [--json]",
        .about =
            "Show what is in an attestation token (CBOR: virtCCA or Arm CCA), a certificate (PEM\n"
            "or DER), an event log (TCG2 or CCEL, raw) or saved evidence (JSON). Showing is not\n"
            "verifying. With --platform-key the token's signatures and binding are verified, too:\n"
            "exit status 0 if all hold, 3 if not. That says who speaks, not that it is fresh or\n"
            "that what was booted is good: for that there is `encroot evidence appraise`.",
        .options = options,
        .example = "  encroot evidence inspect ev.json\n"
                   "  encroot evidence inspect token.cbor --platform-key cpak.json",
    };
    int first;
    int code = options_parse(&u, argc, argv, &first);
    if (code != OPTIONS_DONE)
        return code;
    if (argc - first != 1)
        return usage_error(&u, "expected one file, found %d", argc - first);
    struct error err = {0};
    _cleanup_(result_free) struct result result = {0};
    int r = inspect(argv[first], &a, &result, &err);
    if (r < 0)
        return report_error(&err, exit_code_for(r), a.json);
    if (a.json)
        print_json(&result, &a);
    else
        print_text(&result, &a);
    return !a.platform_key || findings_pass(&result.verification) ? EXIT_OK : EXIT_REFUSED;
}
