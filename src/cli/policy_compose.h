/* A policy from what an operator has: for `encroot policy new` and `image encrypt --vault`. */
#ifndef ENCROOT_CLI_POLICY_COMPOSE_H
#define ENCROOT_CLI_POLICY_COMPOSE_H

#include "base/json.h"
#include "cli/options.h"
#include "protocol/evidence.h"

struct policy_source {
    struct option_list rims;         /* -m; none: the evidence's */
    const char *folder;              /* -d: as `encroot init` makes it: the trust anchors */
    const struct evidence *evidence; /* of a good boot; NULL: there is none */
    const char *components;          /* the sample's platform reference file; NULL: none */
    bool pin_instance;               /* the machine of the evidence only */
};

/*
 * The policy as an object, self-contained; a new reference. `boot` has its members "boot" and
 * "volume", either of which may be missing. What there is no value for is waived. -EINVAL; the
 * errors of files.
 */
int policy_compose(json_t **ret, const struct policy_source *s, json_t *boot,
                   struct error *err) _must_use_;

#endif
