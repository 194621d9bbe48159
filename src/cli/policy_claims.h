/* Reference values for a policy, from good evidence. */
#ifndef ENCROOT_CLI_POLICY_CLAIMS_H
#define ENCROOT_CLI_POLICY_CLAIMS_H

#include "base/json.h"
#include "protocol/evidence.h"

/* Append the token's initial measurement to the array `rims`. */
int policy_rim_of(const struct evidence *e, json_t *rims, struct error *err) _must_use_;

/* Set "platform" (what the token says of it) and "records" (the digests of the platform's tables)
 * of `root`; with `instance` also what tells that very machine and its key from others. What is
 * claimed is not verified here. */
int policy_claims_of(json_t *root, const struct evidence *e, bool instance,
                     struct error *err) _must_use_;

/* Set "components" of "platform" of `root` from the sample's platform reference file:
 * {"measure_value": [{"firware_name", "measurement", "firware_version", "hash_algorithm"}]}. */
int policy_components_of(json_t *root, const char *path, struct error *err) _must_use_;

#endif
