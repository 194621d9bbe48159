/*
 * Chains that verified, remembered: a broker sees the same machine's certificate at every boot,
 * and three signatures cost more than all else in an appraisal.
 *
 * Why an entry is as good as verifying again: the answer depends on the certificate, the trust
 * anchors, the rules and the time, and on nothing else.
 * - The certificate: the key is SHA-256 over its whole DER, signature included. One changed bit
 *   is another key.
 * - The anchors (roots, intermediates, revocation lists): the cache is theirs alone and emptied
 *   when any is added; none can be taken away.
 * - The rules: they are hashed with the certificate.
 * - The time, where the rules judge it: an entry holds only while every certificate and list of
 *   its path is valid, and before and after that is as good as absent, whichever way the clock
 *   was moved.
 * Only successes are kept, so a refusal is always a fresh one, with its reason; and since only
 * genuine certificates succeed, a flood of forged ones displaces nothing.
 */
#ifndef ENCROOT_CRYPTO_CHAIN_CACHE_H
#define ENCROOT_CRYPTO_CHAIN_CACHE_H

#include "crypto/x509.h"

#include <time.h>

struct chain_cache;

#define CHAIN_KEY_SIZE 32

/* from ≤ t < until */
struct validity {
    time_t from, until;
};
#define VALID_ALWAYS ((struct validity){.from = INT64_MIN, .until = INT64_MAX})
_Static_assert(sizeof(time_t) == 8, "dates go to the year 9999");

/* NULL without memory. Of fixed size; a new entry displaces an old one. Safe between threads. */
struct chain_cache *chain_cache_new(void);
void chain_cache_free(struct chain_cache *c); /* may be NULL */

int chain_cache_key(uint8_t ret[CHAIN_KEY_SIZE], const X509 *leaf,
                    const struct chain_rules *rules) _must_use_;
bool chain_cache_has(struct chain_cache *c, const uint8_t key[CHAIN_KEY_SIZE], time_t now);
void chain_cache_add(struct chain_cache *c, const uint8_t key[CHAIN_KEY_SIZE],
                     const struct validity *v);
void chain_cache_clear(struct chain_cache *c);

#endif
