/* The stages between token and boot path: the initial measurement, and the log's replay. */
#include "appraise/stages.h"

#include <string.h>

static bool is_reference(const struct digest *d, const struct appraisal_policy *policy)
{
    for (size_t i = 0; i < policy->initial_count; i++)
        if (policy->initial[i].size > 0 && digest_equal(&policy->initial[i], d))
            return true;
    return false;
}

void appraise_initial(const struct platform_claims *claims, const struct appraisal_policy *policy,
                      struct findings *f)
{
    char found[DIGEST_HEX_SIZE];
    _buffer_ struct buffer expected = {0};
    int r = 0;
    digest_hex(&claims->initial, found);
    for (size_t i = 0; r == 0 && i < policy->initial_count; i++) {
        char hex[DIGEST_HEX_SIZE];
        digest_hex(&policy->initial[i], hex);
        r = buffer_printf(&expected, "%s%s", i ? " or " : "", hex);
    }
    if (r == 0)
        r = buffer_append(&expected, "", 1);
    bool pass = claims->initial.size > 0 && is_reference(&claims->initial, policy);
    finding_add(f, "rim", pass ? VERDICT_PASS : VERDICT_REJECT,
                policy->initial_count == 0 ? "a RIM that the policy names; it names none"
                : r == 0                   ? (const char *)expected.data
                                           : NULL,
                found);
    if (!pass)
        finding_remedy(f,
                       "if firmware or machine were changed on purpose: accept this RIM with "
                       "-m %s",
                       found);
}

static const char *const replay_checks[PLATFORM_REGISTERS_MAX] = {
    NULL, "log.replay.rem0", "log.replay.rem1", "log.replay.rem2", "log.replay.rem3",
};

static void compare_registers(const struct digest *replayed, const struct platform_claims *claims,
                              struct findings *f)
{
    for (size_t i = 1; i < claims->register_count; i++) {
        char expected[DIGEST_HEX_SIZE], found[DIGEST_HEX_SIZE];
        bool pass =
            claims->extended[i].size > 0 && digest_equal(&replayed[i], &claims->extended[i]);
        digest_hex(&claims->extended[i], expected);
        digest_hex(&replayed[i], found);
        finding_add(f, replay_checks[i], pass ? VERDICT_PASS : VERDICT_REJECT, expected, found);
        if (!pass)
            finding_remedy(f, "the event log does not tell what was measured: it was altered or "
                              "cut, or something was measured after it was read");
    }
}

static bool claims_usable(const struct platform_claims *claims)
{
    return hash_size(claims->hash) > 0 && claims->register_count >= 2 &&
           claims->register_count <= PLATFORM_REGISTERS_MAX && claims->pcr_map;
}

bool appraise_log(struct event_log *ret, struct bytes log, enum event_log_format format,
                  const struct platform_claims *claims, struct findings *f)
{
    struct digest replayed[PLATFORM_REGISTERS_MAX];
    struct error err = {0};
    _event_log_ struct event_log l = {0};
    if (!claims_usable(claims)) {
        finding_add(f, "log.format", VERDICT_REJECT, "measurement registers in the token", "none");
        return false;
    }
    int r = event_log_parse(&l, log, claims->hash, &err);
    if (r == 0)
        r = event_log_replay(&l, format == EVENT_LOG_TCG2 ? claims->pcr_map : NULL, replayed,
                             claims->register_count, &err);
    if (r < 0) {
        finding_add(f, "log.format", VERDICT_REJECT, "a TCG crypto-agile event log",
                    log.size ? err.text : "no event log");
        return false;
    }
    compare_registers(replayed, claims, f);
    *ret = l;
    l = (struct event_log){0};
    return true;
}
