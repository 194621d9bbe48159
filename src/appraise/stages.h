/*
 * The stages of an appraisal behind the platform's verifier. Each can run alone on plain structs;
 * each appends findings and decides nothing else.
 */
#ifndef ENCROOT_APPRAISE_STAGES_H
#define ENCROOT_APPRAISE_STAGES_H

#include "appraise/appraise.h"
#include "eventlog/eventlog.h"

/* "rim": the initial measurement is one of the policy's. */
void appraise_initial(const struct platform_claims *claims, const struct appraisal_policy *policy,
                      struct findings *f);

/*
 * "log.format", "log.replay.rem0" ...: read `log` for the claims' hash and replay it against the
 * extended registers. `ret` is filled whenever the log could be read (false otherwise), also when
 * it does not replay, so that the next stage can still explain; the caller frees it.
 */
bool appraise_log(struct event_log *ret, struct bytes log, enum event_log_format format,
                  const struct platform_claims *claims, struct findings *f);

/* "boot.*", "waived.*", "log.record": every record is a reference value, listed by the policy, or
 * waived by a rule, and the whole boot path is there. `boot` NULL rejects. */
void appraise_boot(const struct event_log *log, enum event_log_format format,
                   const struct platform_claims *claims, const struct reference_values *boot,
                   const struct record_policy *policy, struct findings *f);

#endif
