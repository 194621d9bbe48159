/*
 * Appraisal of evidence (RFC 9334): verify → replay → compare. Pure: no files, no clock, no
 * network. Everything that was checked is in the findings; findings_pass() is the verdict.
 */
#ifndef ENCROOT_APPRAISE_APPRAISE_H
#define ENCROOT_APPRAISE_APPRAISE_H

#include "base/findings.h"
#include "measure/reference.h"
#include "platform/platform.h"

struct appraisal_policy {
    const struct trust_anchors *anchors;
    const struct digest *initial; /* accepted RIMs, any of them */
    size_t initial_count;         /* none: rejects */
    const struct reference_values *boot;
};

/*
 * Appraise `e` against `policy` for a connection whose challenge is `challenge`. Returns 0 when
 * the appraisal ran to its end (look at findings_pass), negative errno when it could not, which
 * has left at least one rejecting finding too. There is no path that grants by returning early.
 */
int appraise(const struct evidence *e, const uint8_t challenge[CHALLENGE_SIZE],
             const struct appraisal_policy *policy, struct findings *f,
             struct error *err) _must_use_;

#endif
