#include "protocol/evidence.h"
#include "base/hex.h"
#include "base/json.h"
#include "crypto/base64.h"

#include <string.h>

static const char *const log_formats[] = {
    [EVENT_LOG_TCG2] = "tcg2",
    [EVENT_LOG_CCEL] = "ccel",
};

static int get_base64(const json_t *object, const char *key, size_t max, struct buffer *ret,
                      const char *where, struct error *err)
{
    const char *text;
    int r = json_get_string(object, key, &text, where, err);
    if (r < 0)
        return r;
    ret->max = max + 3; /* padding is decoded, then cut */
    r = base64_decode(BYTES_STR(text), ret);
    if (r == 0 && ret->size > max)
        r = -EFBIG;
    if (r == -EFBIG)
        return error_set(err, EFBIG, "%s: \"%s\" is larger than %zu bytes", where, key, max);
    if (r < 0)
        return error_set(err, -r, "%s: \"%s\" is not base64", where, key);
    return 0;
}

static int parse_log(struct evidence *e, json_t *root, const char *where, struct error *err)
{
    static const char *const known[] = {"format", "data", NULL};
    json_t *log;
    const char *format;
    int r = json_get_object(root, "event_log", &log, where, err);
    if (r == 0)
        r = json_only_keys(log, known, where, err);
    if (r == 0)
        r = json_get_string(log, "format", &format, where, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(log_formats); i++)
        if (strcmp(format, log_formats[i]) == 0) {
            e->log_format = (enum event_log_format)i;
            return get_base64(log, "data", EVIDENCE_EVENT_LOG_MAX, &e->event_log, where, err);
        }
    return error_set(err, EINVAL, "%s: \"format\" must be tcg2 or ccel, found \"%.40s\"", where,
                     format);
}

static bool plain_name(const char *s)
{
    return *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static int parse_head(struct evidence *e, json_t *root, const char *where, struct error *err)
{
    static const char *const known[] = {"version",     "volume",    "platform",  "token",
                                        "certificate", "event_log", "challenge", NULL};
    uint64_t version;
    const char *volume, *platform;
    int r = json_only_keys(root, known, where, err);
    if (r == 0)
        r = json_get_uint(root, "version", UINT32_MAX, &version, where, err);
    if (r == 0 && version != 1)
        r = error_set(err, EPROTO, "%s: version %u, this program knows 1", where,
                      (unsigned)version);
    if (r == 0)
        r = json_get_string(root, "volume", &volume, where, err);
    if (r == 0 && uuid_parse(volume, e->volume) < 0)
        r = error_set(err, EINVAL, "%s: \"volume\" must be a UUID", where);
    if (r == 0)
        r = json_get_string(root, "platform", &platform, where, err);
    if (r == 0 && (!plain_name(platform) || strlen(platform) >= sizeof(e->platform)))
        r = error_set(err, EINVAL, "%s: \"platform\" must have 1 to %zu of a-z, 0-9 and -", where,
                      sizeof(e->platform) - 1);
    if (r == 0)
        memcpy(e->platform, platform, strlen(platform) + 1);
    if (r == 0 && json_object_get(root, "challenge")) {
        e->has_challenge = true;
        r = json_get_hex(root, "challenge", e->challenge, sizeof(e->challenge), where, err);
    }
    return r;
}

/* Every value of a JSON text but the first stands behind one of these; base64 has none of them. A
 * megabyte of "[[],[],…" would grow to fifty in the parser, before anyone is authenticated (C8). */
static bool too_many_values(struct bytes json)
{
    size_t n = 0;
    for (size_t i = 0; i < json.size; i++)
        n += json.data[i] == ',' || json.data[i] == '[' || json.data[i] == '{';
    return n > EVIDENCE_VALUES_MAX;
}

int evidence_parse(struct evidence *ret, struct bytes json, const char *name, struct error *err)
{
    if (json.size > EVIDENCE_JSON_MAX)
        return error_set(err, EFBIG, "%s: larger than %zu bytes", name, EVIDENCE_JSON_MAX);
    if (too_many_values(json))
        return error_set(err, EFBIG, "%s: more than %d values", name, EVIDENCE_VALUES_MAX);
    _json_ json_t *root = NULL;
    int r = json_parse(&root, json, name, err);
    if (r < 0)
        return r;
    if (!json_is_object(root))
        return error_set(err, EINVAL, "%s: must be an object", name);
    _evidence_ struct evidence e = {0};
    r = parse_head(&e, root, name, err);
    if (r == 0)
        r = get_base64(root, "token", EVIDENCE_TOKEN_MAX, &e.token, name, err);
    if (r == 0)
        r = get_base64(root, "certificate", EVIDENCE_CERTIFICATE_MAX, &e.certificate, name, err);
    if (r == 0)
        r = parse_log(&e, root, name, err);
    if (r < 0)
        return r;
    *ret = e;
    e = (struct evidence){0};
    return 0;
}

/* Written by hand: a log of a megabyte need not pass through a JSON tree in a small guest. */
static int put_base64(struct buffer *out, const char *before, const struct buffer *value)
{
    int r = buffer_printf(out, "%s\"", before);
    if (r == 0)
        r = base64_encode(buffer_bytes(value), out);
    return r < 0 ? r : buffer_append(out, "\"", 1);
}

int evidence_format(const struct evidence *e, struct buffer *ret, struct error *err)
{
    if (!plain_name(e->platform) || e->token.size > EVIDENCE_TOKEN_MAX ||
        e->certificate.size > EVIDENCE_CERTIFICATE_MAX ||
        e->event_log.size > EVIDENCE_EVENT_LOG_MAX)
        return error_set(err, EFBIG, "evidence: a part is missing or too large");
    char volume[UUID_TEXT_SIZE];
    uuid_format(e->volume, volume);
    _buffer_ struct buffer out = {.max = EVIDENCE_JSON_MAX};
    int r = buffer_printf(&out, "{\"version\": 1, \"volume\": \"%s\", \"platform\": \"%s\"", volume,
                          e->platform);
    if (r == 0)
        r = put_base64(&out, ",\n\"token\": ", &e->token);
    if (r == 0)
        r = put_base64(&out, ",\n\"certificate\": ", &e->certificate);
    if (r == 0)
        r = buffer_printf(&out, ",\n\"event_log\": {\"format\": \"%s\",",
                          log_formats[e->log_format]);
    if (r == 0)
        r = put_base64(&out, "\n\"data\": ", &e->event_log);
    char challenge[2 * CHALLENGE_SIZE + 1];
    hex_encode(BYTES_OF(e->challenge), challenge);
    if (r == 0)
        r = e->has_challenge ? buffer_printf(&out, "},\n\"challenge\": \"%s\"}\n", challenge)
                             : buffer_printf(&out, "}}\n");
    if (r < 0)
        return error_set(err, -r, "evidence: larger than %zu bytes", EVIDENCE_JSON_MAX);
    out.max = 0;
    *ret = out;
    out = (struct buffer){0};
    return 0;
}

void evidence_free(struct evidence *e)
{
    buffer_free(&e->token);
    buffer_free(&e->certificate);
    buffer_free(&e->event_log);
    *e = (struct evidence){0};
}
