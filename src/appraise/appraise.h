/*
 * Appraisal of evidence (RFC 9334): verify → replay → compare. Pure: no files, no clock, no
 * network. Everything that was checked is in the findings; findings_pass() is the verdict.
 */
#ifndef ENCROOT_APPRAISE_APPRAISE_H
#define ENCROOT_APPRAISE_APPRAISE_H

#include "base/findings.h"
#include "measure/reference.h"
#include "platform/platform.h"

/* What explains event-log records that are no part of the boot path. */
struct record_policy {
    waiver_set waivers;
    const struct digest *digests; /* of records that are as they should be */
    size_t count;
};

/*
 * What is accepted (RFC 9334, 8.5). A view: whoever made it owns what it points to (policy.h). The
 * zero value accepts nothing.
 */
struct appraisal_policy {
    const uint8_t *volume;        /* 16 bytes: evidence for this volume only; NULL: for any */
    const char *const *platforms; /* NULL-terminated names; NULL: every platform that is known */
    struct platform_policy platform;
    const struct digest *initial;        /* accepted RIMs, any of them */
    size_t initial_count;                /* none: rejects */
    const struct reference_values *boot; /* sets of reference values: one must fit as a whole */
    size_t boot_count;                   /* none: rejects */
    struct record_policy records;
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
