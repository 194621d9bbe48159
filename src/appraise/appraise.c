#include "appraise/appraise.h"
#include "appraise/stages.h"

#include <string.h>

/* Whatever went wrong, the list says so: an appraisal that broke off must not look like one that
 * found nothing bad. */
static int broke_off(struct findings *f, int r, const char *check, const struct error *err)
{
    finding_add(f, check, VERDICT_REJECT, "evidence that can be appraised",
                err->text[0] ? err->text : "unreadable");
    return r;
}

static void appraise_claims(const struct evidence *e, const struct platform_claims *claims,
                            const struct appraisal_policy *policy, struct findings *f)
{
    _event_log_ struct event_log log = {0};
    appraise_initial(claims, policy, f);
    if (!appraise_log(&log, buffer_bytes(&e->event_log), e->log_format, claims, f))
        return;
    appraise_boot(&log, e->log_format, claims, policy->boot, f);
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
    if (!policy->anchors) {
        error_set(err, EINVAL, "no trust anchors");
        return broke_off(f, -EINVAL, "platform", err);
    }
    size_t count = f->count;
    size_t rejected = f->rejected;
    int r = v->verify(e, challenge, policy->anchors, f, &claims, err);
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
