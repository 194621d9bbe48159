/* What is wrong with a policy that can be read. */
#ifndef ENCROOT_CLI_POLICY_CHECK_H
#define ENCROOT_CLI_POLICY_CHECK_H

#include "appraise/policy.h"
#include "base/json.h"

/* {"unusable": true/false, "problems": [..], "accepted_unseen": [..]}: a new reference, NULL
 * without memory. */
json_t *policy_problems(const struct appraisal_policy *p);

#endif
