/* The appraisal policy that -m, -f and -d describe, with everything that it points to. */
#ifndef ENCROOT_CLI_POLICY_LOAD_H
#define ENCROOT_CLI_POLICY_LOAD_H

#include "appraise/appraise.h"
#include "cli/options.h"
#include "crypto/x509.h"

struct loaded_policy {
    struct digest initial[OPTION_LIST_MAX];
    struct reference_values boot;
    struct trust_anchors *anchors;
    struct appraisal_policy policy; /* points into this struct: do not copy it */
};

/*
 * `rims`: hexadecimal in either case, 32, 48 or 64 bytes each, at least one. `hash_json`: file of
 * reference values. `folder`: as `encroot init` makes it, of which trust/ is read.
 */
int policy_load(struct loaded_policy *ret, const struct option_list *rims, const char *hash_json,
                const char *folder, struct error *err) _must_use_;
void policy_unload(struct loaded_policy *p);
#define _loaded_policy_ _cleanup_(policy_unload)

#endif
