/*
 * The findings of one appraisal in the words of AR4SI (draft-ietf-rats-ar4si, 2.3): for each
 * trustworthiness claim, the worst of what was found about it.
 */
#ifndef ENCROOT_APPRAISE_TRUST_VECTOR_H
#define ENCROOT_APPRAISE_TRUST_VECTOR_H

#include "base/findings.h"

enum trust_claim {
    TRUST_INSTANCE_IDENTITY,
    TRUST_CONFIGURATION,
    TRUST_EXECUTABLES,
    TRUST_HARDWARE,
    TRUST_CLAIM_COUNT,
};

/* The tiers, with the values of the draft. */
enum trust_tier {
    TRUST_NONE = 0,             /* nothing was said of it */
    TRUST_AFFIRMING = 2,        /* equals reference values */
    TRUST_WARNING = 32,         /* a waiver accepts something that nobody looked at */
    TRUST_CONTRAINDICATED = 96, /* a rejection */
};

struct trust_vector {
    enum trust_tier status; /* of the whole: affirming only if the findings pass */
    enum trust_tier claims[TRUST_CLAIM_COUNT];
};

struct trust_vector trust_vector_of(const struct findings *f);

const char *trust_claim_name(enum trust_claim c); /* "instance-identity" */
const char *trust_tier_name(enum trust_tier t);   /* "affirming" */

#endif
