#include "appraise/appraise.h"
#include "appraise/stages.h"
#include "base/hex.h"

#include <string.h>

/* Whatever went wrong, the list says so: an appraisal that broke off must not look like one that
 * found nothing bad. */
static int broke_off(struct findings *f, int r, const char *check, const struct error *err)
{
    finding_add(f, check, VERDICT_REJECT, "evidence that can be appraised",
                err->text[0] ? err->text : "unreadable");
    return r;
}

static void appraise_volume(const struct evidence *e, const struct appraisal_policy *policy,
                            struct findings *f)
{
    char expected[UUID_TEXT_SIZE], found[UUID_TEXT_SIZE];
    if (!policy->volume)
        return;
    uuid_format(policy->volume, expected);
    uuid_format(e->volume, found);
    bool same = memcmp(policy->volume, e->volume, sizeof(e->volume)) == 0;
    finding_add(f, "volume", same ? VERDICT_PASS : VERDICT_REJECT, expected, found);
}

static bool is_accepted_platform(const struct appraisal_policy *policy, const char *name)
{
    for (size_t i = 0; policy->platforms && policy->platforms[i]; i++)
        if (strcmp(policy->platforms[i], name) == 0)
            return true;
    return !policy->platforms;
}

/* Each set of reference values in turn: one fits as a whole, or the findings are those of the one
 * that comes nearest. */
static void appraise_boot_sets(const struct event_log *log, enum event_log_format format,
                               const struct platform_claims *claims,
                               const struct appraisal_policy *policy, struct findings *f)
{
    _findings_ struct findings best = {0};
    for (size_t i = 0; i < policy->boot_count; i++) {
        _findings_ struct findings one = {0};
        appraise_boot(log, format, claims, &policy->boot[i], &policy->records, &one);
        if (i > 0 && one.rejected >= best.rejected)
            continue;
        findings_free(&best);
        best = one;
        one = (struct findings){0};
        if (findings_pass(&best))
            break;
    }
    if (policy->boot_count == 0)
        appraise_boot(log, format, claims, NULL, &policy->records, &best);
    findings_move(f, &best);
}

static void appraise_claims(const struct evidence *e, const struct platform_claims *claims,
                            const struct appraisal_policy *policy, struct findings *f)
{
    _event_log_ struct event_log log = {0};
    appraise_initial(claims, policy, f);
    if (!appraise_log(&log, buffer_bytes(&e->event_log), e->log_format, claims, f))
        return;
    appraise_boot_sets(&log, e->log_format, claims, policy, f);
}

int appraise(const struct evidence *e, const uint8_t challenge[CHALLENGE_SIZE],
             const struct appraisal_policy *policy, struct findings *f, struct error *err)
{
    struct error local = {0};
    struct platform_claims claims = {0};
    if (!err)
        err = &local;
    const struct platform_verifier *v = platform_verifier_by_name(e->platform);
    if (!v) {
        error_set(err, EOPNOTSUPP, "unknown platform \"%.*s\"", (int)sizeof(e->platform),
                  e->platform);
        return broke_off(f, -EOPNOTSUPP, "platform", err);
    }
    if (!is_accepted_platform(policy, e->platform)) {
        finding_add(f, "platform", VERDICT_REJECT, "a platform that the policy names", v->name);
        return 0;
    }
    if (!policy->platform.anchors) {
        error_set(err, EINVAL, "no trust anchors");
        return broke_off(f, -EINVAL, "platform", err);
    }
    appraise_volume(e, policy, f);
    size_t count = f->count;
    size_t rejected = f->rejected;
    int r = v->verify(e, challenge, &policy->platform, f, &claims, err);
    if (r < 0)
        return broke_off(f, r, "platform", err);
    /* A verifier that checked nothing, or let another connection's challenge pass, is a fault of
     * ours that must not open anything. */
    bool mine = memcmp(claims.challenge, challenge, CHALLENGE_SIZE) == 0;
    if (f->count == count || (!mine && f->rejected == rejected))
        finding_add(f, "platform", VERDICT_REJECT, "claims for this connection", "others");
    appraise_claims(e, &claims, policy, f);
    return 0;
}
