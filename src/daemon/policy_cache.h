/*
 * Policies of volumes as the appraiser has read them, so that a fleet that boots costs one reading
 * of its policy. Of fixed size: what was used longest ago makes room.
 */
#ifndef ENCROOT_DAEMON_POLICY_CACHE_H
#define ENCROOT_DAEMON_POLICY_CACHE_H

#include "appraise/policy.h"

#define POLICY_CACHE_SIZE 128

struct cached_policy {
    uint8_t volume[16];
    uint64_t edition;      /* decide_volume.h */
    struct policy *policy; /* NULL: it could not be read */
    char *problem;         /* then: why */
    uint64_t used;         /* by the cache's own count */
};

struct policy_cache {
    struct cached_policy entries[POLICY_CACHE_SIZE];
    uint64_t uses;
};

/* NULL if it is not there. Borrowed: until the next put. */
struct cached_policy *policy_cache_get(struct policy_cache *c, const uint8_t volume[16]);
/* Read `text` and keep it, in the place of what was there; a text that is no policy is kept as
 * that. -ENOMEM. */
int policy_cache_put(struct policy_cache *c, const uint8_t volume[16], uint64_t edition,
                     struct bytes text, struct error *err) _must_use_;
/* The volume is not there any more. */
void policy_cache_drop(struct policy_cache *c, const uint8_t volume[16]);
void policy_cache_free(struct policy_cache *c);

#endif
