/* `encroot evidence inspect FILE`: any token, certificate, event log or saved evidence. */
#include "base/hex.h"
#include "base/io.h"
#include "cli/command.h"
#include "cli/inspect.h"
#include "cli/options.h"
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

static const struct {
    const char *title;
    bool (*is)(struct bytes in);
    int (*inspect)(json_t **ret, struct bytes in, bool ccel, struct error *err);
} kinds[] = {
    {"evidence", is_evidence, inspect_evidence},
    {"event log", is_event_log, event_log},
    {"certificate", is_certificate, certificate},
    {"attestation token", is_token, token},
};

static int inspect(const char *path, bool ccel, json_t **ret, const char **title, struct error *err)
{
    _buffer_ struct buffer file = {0};
    int r = read_file(path, EVIDENCE_JSON_MAX, &file, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!kinds[i].is(buffer_bytes(&file)))
            continue;
        *title = kinds[i].title;
        r = kinds[i].inspect(ret, buffer_bytes(&file), ccel, err);
        return r < 0 ? error_prefix(err, r, "%s: %s", path, kinds[i].title) : 0;
    }
    return error_set(err, EBADMSG,
                     "%s: neither saved evidence, nor a token, a certificate or an event log",
                     path);
}

int cmd_evidence_inspect(int argc, char **argv)
{
    bool json = false;
    bool ccel = false;
    const struct option_spec options[] = {
        {0, "ccel", OPTION_FLAG, NULL,
         "a bare event log is a CCEL: its indices are registers,\nnot PCRs", &ccel, 0, 0},
        {0, "json", OPTION_FLAG, NULL, "print it as JSON", &json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot evidence inspect FILE [--ccel] [--json]",
        .about =
            "Show what is in an attestation token (CBOR), a certificate (PEM or DER), an event\n"
            "log (TCG2 or CCEL, raw) or saved evidence (JSON). Showing is not verifying: for\n"
            "that there is `encroot evidence appraise`.",
        .options = options,
        .example = "  encroot evidence inspect ev.json",
    };
    int first;
    int code = options_parse(&u, argc, argv, &first);
    if (code != OPTIONS_DONE)
        return code;
    if (argc - first != 1)
        return usage_error(&u, "expected one file, found %d", argc - first);
    struct error err = {0};
    _json_ json_t *j = NULL;
    const char *title = NULL;
    int r = inspect(argv[first], ccel, &j, &title, &err);
    if (r < 0)
        return report_error(&err, exit_code_for(r), json);
    if (json) {
        json_dumpf(j, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        printf("%s, not verified\n", title);
        inspect_print(stdout, j);
    }
    return EXIT_OK;
}
