#include "base/hex.h"
#include "base/utc.h"
#include "broker/audit.h"

#include <string.h>

#define ID_DIGITS (RELEASE_ID_SIZE - 1)

/* Lower-case hex digits, as many as `n`. */
static bool is_hex(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") == n && text[n] == '\0';
}

static bool is_hash(const char *text)
{
    return is_hex(text, (size_t)2 * AUDIT_HASH_SIZE);
}

static bool is_id(const char *text)
{
    return is_hex(text, ID_DIGITS);
}

static bool is_time(const char *text)
{
    time_t t;
    return utc_parse(text, &t) == 0;
}

static bool is_volume(const char *text)
{
    uint8_t uuid[16];
    char again[UUID_TEXT_SIZE];
    if (uuid_parse(text, uuid) < 0)
        return false;
    uuid_format(uuid, again);
    return strcmp(text, again) == 0;
}

static bool is_verdict(const char *text)
{
    return strcmp(text, "granted") == 0 || strcmp(text, "denied") == 0;
}

static bool is_text(const char *text)
{
    return text[0] != '\0';
}

/* The members that are text. Those of the evidence are null when it could not be read. */
static const struct member {
    const char *key;
    bool of_evidence;
    bool (*is)(const char *text);
    const char *form;
} texts[] = {
    {"time", false, is_time, "a time like 2026-01-31T23:59:59Z"},
    {"id", false, is_id, "32 lower-case hexadecimal digits"},
    {"broker", false, is_text, "a name"},
    {"peer", false, is_text, "an address"},
    {"verdict", false, is_verdict, "\"granted\" or \"denied\""},
    {"request_sha256", false, is_hash, "64 lower-case hexadecimal digits"},
    {"previous", false, is_hash, "64 lower-case hexadecimal digits"},
    {"hash", false, is_hash, "64 lower-case hexadecimal digits"},
    {"volume", true, is_volume, "a UUID or null"},
    {"platform", true, is_text, "a name or null"},
    {"evidence_sha256", true, is_hash, "64 lower-case hexadecimal digits or null"},
};

static int check_texts(const json_t *o, const char *name, struct error *err)
{
    bool readable = !json_is_null(json_object_get(o, "volume"));
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const struct member *m = &texts[i];
        const json_t *v = json_object_get(o, m->key);
        bool null = m->of_evidence && !readable;
        if (null ? !json_is_null(v) : !json_is_string(v) || !m->is(json_string_value(v)))
            return error_set(err, EINVAL, "%s: \"%s\" must be %s", name, m->key,
                             null ? "null, as \"volume\" is" : m->form);
    }
    return 0;
}

static bool is_optional_string(const json_t *v)
{
    return !v || json_is_string(v);
}

static int check_finding(json_t *f, const char **reason, const char *name, struct error *err)
{
    static const char *const full[] = {"check", "verdict", "expected", "found", "remedy", NULL};
    static const char *const brief[] = {"check", "verdict", NULL};
    const char *check, *verdict;
    int r = json_is_object(f) ? 0 : error_set(err, EINVAL, "%s: a finding must be an object", name);
    if (r == 0)
        r = json_get_string(f, "check", &check, name, err);
    if (r == 0)
        r = json_get_string(f, "verdict", &verdict, name, err);
    if (r < 0)
        return r;
    bool rejects = strcmp(verdict, verdict_name(VERDICT_REJECT)) == 0;
    if (!rejects && strcmp(verdict, verdict_name(VERDICT_PASS)) != 0 &&
        strcmp(verdict, verdict_name(VERDICT_WAIVED)) != 0)
        return error_set(err, EINVAL, "%s: finding \"%.100s\": unknown verdict", name, check);
    if (rejects && !*reason)
        *reason = check;
    for (size_t i = 0; full[i]; i++)
        if (!is_optional_string(json_object_get(f, full[i])))
            return error_set(err, EINVAL, "%s: finding \"%.100s\": \"%s\" must be a string", name,
                             check, full[i]);
    return json_only_keys(f, rejects ? full : brief, name, err);
}

/* A denial has a reason, a grant has none. */
static int check_findings(json_t *o, const char **reason, bool granted, const char *name,
                          struct error *err)
{
    json_t *list, *f;
    size_t i;
    int r = json_get_array(o, "findings", &list, name, err);
    if (r < 0)
        return r;
    json_array_foreach(list, i, f)
    {
        r = check_finding(f, reason, name, err);
        if (r < 0)
            return r;
    }
    if (granted != !*reason || (granted && i == 0))
        return error_set(err, EINVAL, "%s: its findings contradict its verdict", name);
    return 0;
}

static int check_form(const json_t *o, struct bytes text, const char *name, struct error *err)
{
    _buffer_ struct buffer again = {0};
    int r = audit_format(o, &again, err);
    if (r == 0 && !bytes_equal(buffer_bytes(&again), text))
        r = error_set(err, EINVAL,
                      "%s: not in the form that records are written in (compact, members sorted)",
                      name);
    return r;
}

static int read_numbers(struct audit_record *a, const char *name, struct error *err)
{
    uint64_t omitted;
    int r = json_get_uint(a->json, "sequence", INT64_MAX, &a->sequence, name, err);
    if (r == 0)
        r = json_get_uint(a->json, "recovered", INT64_MAX, &a->recovered, name, err);
    if (r == 0)
        r = json_get_uint(a->json, "omitted", INT64_MAX, &omitted, name, err);
    return r;
}

static int read_record(struct audit_record *a, struct bytes text, const char *name,
                       struct error *err)
{
    static const char *const known[] = {"broker",   "evidence_sha256", "findings",       "hash",
                                        "id",       "omitted",         "peer",           "platform",
                                        "previous", "recovered",       "request_sha256", "sequence",
                                        "time",     "verdict",         "volume",         NULL};
    int r = json_is_object(a->json)
                ? json_only_keys(a->json, known, name, err)
                : error_set(err, EINVAL, "%s: a record must be an object", name);
    if (r == 0)
        r = check_texts(a->json, name, err);
    if (r == 0)
        r = read_numbers(a, name, err);
    if (r == 0)
        r = check_form(a->json, text, name, err);
    if (r == 0)
        r = json_get_hex(a->json, "previous", a->previous, AUDIT_HASH_SIZE, name, err);
    if (r == 0)
        r = json_get_hex(a->json, "hash", a->hash, AUDIT_HASH_SIZE, name, err);
    if (r < 0)
        return r;
    a->time = json_string_value(json_object_get(a->json, "time"));
    a->id = json_string_value(json_object_get(a->json, "id"));
    a->broker = json_string_value(json_object_get(a->json, "broker"));
    a->peer = json_string_value(json_object_get(a->json, "peer"));
    a->volume = json_string_value(json_object_get(a->json, "volume"));
    a->granted = strcmp(json_string_value(json_object_get(a->json, "verdict")), "granted") == 0;
    return check_findings(a->json, &a->reason, a->granted, name, err);
}

int audit_parse(struct audit_record *ret, struct bytes text, const char *name, struct error *err)
{
    _audit_record_ struct audit_record a = {0};
    if (text.size > AUDIT_RECORD_MAX)
        return error_set(err, EINVAL, "%s: longer than the %zu bytes of the longest record", name,
                         AUDIT_RECORD_MAX);
    int r = json_parse(&a.json, text, name, err);
    if (r == 0)
        r = read_record(&a, text, name, err);
    if (r < 0)
        return r;
    *ret = a;
    a.json = NULL;
    return 0;
}

void audit_record_free(struct audit_record *r)
{
    json_decref(r->json);
    *r = (struct audit_record){0};
}
