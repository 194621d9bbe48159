/* What can be said of a policy before any evidence came: what it can never accept, what it accepts
 * without looking. */
#ifndef ENCROOT_APPRAISE_POLICY_PROBLEMS_H
#define ENCROOT_APPRAISE_POLICY_PROBLEMS_H

#include "appraise/policy.h"

struct policy_problem {
    const char *text; /* static */
    bool fatal;       /* nothing can pass, or what passes is not what it should be */
};

/* The next one, from *at = 0 on; false: no more. */
bool policy_next_problem(const struct appraisal_policy *p, size_t *at, struct policy_problem *ret);

#endif
