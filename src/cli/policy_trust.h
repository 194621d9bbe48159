/* The "trust" of a policy, from the folder that `encroot init` made. */
#ifndef ENCROOT_CLI_POLICY_TRUST_H
#define ENCROOT_CLI_POLICY_TRUST_H

#include "base/json.h"

/* Sets "trust" of `root`: the pins, and every file of the folder as PEM, so that the policy needs
 * no other file. */
int policy_trust_of(json_t *root, const char *folder, const char *pin_file,
                    struct error *err) _must_use_;

#endif
