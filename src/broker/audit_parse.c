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

static bool is_text(const char *text)
{
    return text[0] != '\0';
}

static bool is_action(const char *text)
{
    return is_text(text) && text[strspn(text, "abcdefghijklmnopqrstuvwxyz.")] == '\0';
}

/* The members that are text, and may be null: those of evidence are all null, or none. */
enum nullable { NEVER_NULL = 0, MAY_BE_NULL, NULL_AS_VOLUME };

struct member {
    const char *key;
    enum nullable null;
    bool (*is)(const char *text);
    const char *form;
};

static const struct member head_texts[] = {
    {"time", NEVER_NULL, is_time, "a time like 2026-01-31T23:59:59Z"},
    {"id", NEVER_NULL, is_id, "32 lower-case hexadecimal digits"},
    {"broker", NEVER_NULL, is_text, "a name"},
    {"previous", NEVER_NULL, is_hash, "64 lower-case hexadecimal digits"},
    {"hash", NEVER_NULL, is_hash, "64 lower-case hexadecimal digits"},
    {"volume", MAY_BE_NULL, is_volume, "a UUID or null"},
    {0},
};

static const struct member decision_texts[] = {
    {"peer", NEVER_NULL, is_text, "an address"},
    {"request_sha256", NEVER_NULL, is_hash, "64 lower-case hexadecimal digits"},
    {"platform", NULL_AS_VOLUME, is_text, "a name, or null as \"volume\" is"},
    {"evidence_sha256", NULL_AS_VOLUME, is_hash,
     "64 lower-case hexadecimal digits, or null as \"volume\" is"},
    {0},
};

static const struct member change_texts[] = {
    {"action", NEVER_NULL, is_action, "lower-case letters and full stops"},
    {"user", NEVER_NULL, is_text, "a name"},
    {"detail", MAY_BE_NULL, is_text, "a text or null"},
    {0},
};

static const char *const decision_keys[] = {
    "broker",   "evidence_sha256", "findings",       "hash",
    "id",       "omitted",         "peer",           "platform",
    "previous", "recovered",       "request_sha256", "sequence",
    "time",     "verdict",         "volume",         NULL};
static const char *const change_keys[] = {"action", "broker",   "detail",   "hash",
                                          "id",     "previous", "sequence", "time",
                                          "user",   "verdict",  "volume",   NULL};

static int check_texts(const json_t *o, const struct member *texts, const char *name,
                       struct error *err)
{
    bool no_volume = json_is_null(json_object_get(o, "volume"));
    for (const struct member *m = texts; m->key; m++) {
        const json_t *v = json_object_get(o, m->key);
        bool null = json_is_null(v);
        bool allowed = m->null == NULL_AS_VOLUME ? null == no_volume : !null || m->null;
        if (!allowed || (!null && (!json_is_string(v) || !m->is(json_string_value(v)))))
            return error_set(err, EINVAL, "%s: \"%s\" must be %s", name, m->key, m->form);
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

static int read_verdict(struct audit_record *a, const char *name, struct error *err)
{
    const char *text = json_string_value(json_object_get(a->json, "verdict"));
    for (enum audit_verdict v = 0; text && v < AUDIT_VERDICTS; v++)
        if (strcmp(text, audit_verdict_name(v)) == 0) {
            a->verdict = v;
            return 0;
        }
    return error_set(err, EINVAL, "%s: \"verdict\" must be \"granted\", \"denied\" or \"changed\"",
                     name);
}

static int read_decision(struct audit_record *a, const char *name, struct error *err)
{
    uint64_t omitted;
    int r = json_only_keys(a->json, decision_keys, name, err);
    if (r == 0)
        r = check_texts(a->json, decision_texts, name, err);
    if (r == 0)
        r = json_get_uint(a->json, "recovered", INT64_MAX, &a->recovered, name, err);
    if (r == 0)
        r = json_get_uint(a->json, "omitted", INT64_MAX, &omitted, name, err);
    if (r < 0)
        return r;
    a->peer = json_string_value(json_object_get(a->json, "peer"));
    return check_findings(a->json, &a->reason, a->verdict == AUDIT_GRANTED, name, err);
}

static int read_change(struct audit_record *a, const char *name, struct error *err)
{
    int r = json_only_keys(a->json, change_keys, name, err);
    if (r == 0)
        r = check_texts(a->json, change_texts, name, err);
    if (r < 0)
        return r;
    a->action = json_string_value(json_object_get(a->json, "action"));
    a->user = json_string_value(json_object_get(a->json, "user"));
    a->detail = json_string_value(json_object_get(a->json, "detail"));
    return 0;
}

static int read_record(struct audit_record *a, struct bytes text, const char *name,
                       struct error *err)
{
    int r = json_is_object(a->json)
                ? read_verdict(a, name, err)
                : error_set(err, EINVAL, "%s: a record must be an object", name);
    if (r == 0)
        r = check_texts(a->json, head_texts, name, err);
    if (r == 0)
        r = (a->verdict == AUDIT_CHANGED ? read_change : read_decision)(a, name, err);
    if (r == 0)
        r = json_get_uint(a->json, "sequence", INT64_MAX, &a->sequence, name, err);
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
    a->volume = json_string_value(json_object_get(a->json, "volume"));
    return 0;
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
