/* The policy that -m and -f describe: one RIM, one boot, and every rule waived. */
#ifndef ENCROOT_TESTS_LENIENT_POLICY_H
#define ENCROOT_TESTS_LENIENT_POLICY_H

#include "appraise/appraise.h"

static const struct record_policy waive_all = {.waivers = WAIVERS_ALL};

static inline struct appraisal_policy lenient_policy(const struct trust_anchors *anchors,
                                                     const struct digest *rim,
                                                     const struct reference_values *boot)
{
    return (struct appraisal_policy){
        .platform = {.anchors = anchors, .waivers = WAIVERS_ALL},
        .initial = rim,
        .initial_count = 1,
        .boot = boot,
        .boot_count = 1,
        .records = waive_all,
    };
}

#endif
