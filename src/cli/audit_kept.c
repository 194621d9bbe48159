#include "cli/audit_kept.h"
#include "appraise/policy.h"
#include "base/hex.h"
#include "cli/findings_print.h"
#include "cli/plain_text.h"
#include "crypto/digest.h"
#include "protocol/evidence.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* A record as an object is brought into the one form that its hash is of. */
static int read_record(struct audit_record *ret, const json_t *j, const char *name,
                       struct error *err)
{
    _buffer_ struct buffer text = {0};
    int r = json_is_object(j) ? audit_format(j, &text, err)
                              : error_set(err, EPROTO, "%s: the answer holds no record", name);
    if (r == 0)
        r = audit_parse(ret, buffer_bytes(&text), name, err);
    return r < 0 ? r : audit_verify_hash(ret, name, err);
}

/* Its text is what the record has the digest of. */
static int read_evidence(struct evidence *ret, const struct audit_kept *k, struct error *err)
{
    _buffer_ struct buffer formatted = {0};
    _free_ char *text = json_dumps(k->evidence, JSON_COMPACT);
    struct digest d;
    char hex[DIGEST_HEX_SIZE];
    if (!text)
        return error_set(err, ENOMEM, "out of memory");
    int r = evidence_parse(ret, BYTES_STR(text), "the evidence", err);
    if (r == 0)
        r = evidence_format(ret, &formatted, err);
    if (r == 0)
        r = digest_compute(&d, HASH_SHA256, buffer_bytes(&formatted));
    if (r < 0)
        return r;
    digest_hex(&d, hex);
    const char *recorded = json_string_value(json_object_get(k->record.json, "evidence_sha256"));
    if (!ret->has_challenge || !recorded || strcmp(hex, recorded) != 0)
        return error_set(err, EUCLEAN, "what is kept is not the evidence of the record");
    return 0;
}

static int get_policy(struct policy **ret, uint64_t *revision, const struct admin_client *c,
                      const char *volume, struct error *err)
{
    _json_ json_t *answer = NULL;
    _free_ char *path = admin_path("/v1/volumes/", volume, "/policy");
    if (!path)
        return error_set(err, ENOMEM, "out of memory");
    int r = admin_call(c, "GET", path, NULL, &answer, err);
    if (r < 0)
        return r;
    _free_ char *text = json_dumps(json_object_get(answer, "effective"), JSON_COMPACT);
    if (!text)
        return error_set(err, EPROTO, "the broker's answer holds no policy");
    *revision = (uint64_t)json_integer_value(json_object_get(answer, "revision"));
    return policy_parse(ret, BYTES_STR(text), "the policy", NULL, err);
}

static time_t time_of(const struct audit_record *r)
{
    struct tm utc = {0};
    return strptime(r->time, "%Y-%m-%dT%H:%M:%SZ", &utc) ? timegm(&utc) : time(NULL);
}

static void appraise_again(struct audit_kept *k, const struct admin_client *c)
{
    _evidence_ struct evidence evidence = {0};
    _policy_ struct policy *policy = NULL;
    struct error err = {0};
    if (!k->evidence || !k->record.volume) {
        snprintf(k->why_not, sizeof(k->why_not), "%s",
                 k->record.volume ? "not kept, or not any more (evidence-keep, evidence-days, "
                                    "evidence-megabytes in encrootd.conf(5))"
                                  : "there was none that could be read");
        return;
    }
    int r = read_evidence(&evidence, k, &err);
    if (r == 0)
        r = get_policy(&policy, &k->revision, c, k->record.volume, &err);
    if (r < 0) {
        snprintf(k->why_not, sizeof(k->why_not), "cannot be appraised again: %.200s", err.text);
        return;
    }
    policy->appraisal.platform.chain.now = time_of(&k->record);
    /* When it breaks off, a finding says why, and rejects. */
    r = appraise(&evidence, evidence.challenge, &policy->appraisal, &k->findings, &err);
    k->appraised = r == 0 || k->findings.rejected > 0;
    if (!k->appraised)
        snprintf(k->why_not, sizeof(k->why_not), "cannot be appraised again: %.200s", err.text);
}

int audit_kept_get(struct audit_kept *ret, const struct admin_client *c, const char *id,
                   struct error *err)
{
    _json_ json_t *answer = NULL;
    _free_ char *path = admin_path("/v1/audit/", id, "");
    if (!path)
        return error_set(err, ENOMEM, "out of memory");
    int r = admin_call(c, "GET", path, NULL, &answer, err);
    if (r == -ENOENT && err && !err->hint[0])
        error_hint(err, r, "`encroot audit list --broker` lists them");
    if (r == 0)
        r = read_record(&ret->record, json_object_get(answer, "record"), c->address.text, err);
    if (r < 0)
        return r;
    json_t *evidence = json_object_get(answer, "evidence");
    ret->evidence = json_is_object(evidence) ? json_incref(evidence) : NULL;
    if (strcmp(ret->record.id, id) != 0)
        return error_set(err, EPROTO, "%s: answered with another record, %s", c->address.text,
                         ret->record.id);
    if (ret->record.verdict != AUDIT_CHANGED)
        appraise_again(ret, c);
    return 0;
}

json_t *audit_kept_json(const struct audit_kept *k)
{
    json_t *j = json_pack("{s:O, s:O?, s:n}", "record", k->record.json, "evidence", k->evidence,
                          "appraisal");
    json_t *appraisal = j && k->appraised ? findings_json(&k->findings) : NULL;
    if (!appraisal)
        return j;
    json_object_set_new(appraisal, "revision", json_integer((json_int_t)k->revision));
    json_object_set_new(j, "appraisal", appraisal);
    return j;
}

void audit_kept_print(const struct audit_kept *k)
{
    if (k->record.verdict == AUDIT_CHANGED)
        return;
    if (!k->appraised) {
        plain_line(stdout, "evidence         %s", k->why_not);
        return;
    }
    printf("\nthe evidence, by the volume's policy of now (revision %" PRIu64 "):\n", k->revision);
    findings_print(stdout, &k->findings, FINDINGS_ALL);
}

void audit_kept_free(struct audit_kept *k)
{
    audit_record_free(&k->record);
    json_decref(k->evidence);
    findings_free(&k->findings);
}
