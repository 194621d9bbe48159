/*
 * Seals: who may write the store, and has no key-encryption key, cannot make one. What a secret is
 * released by is sealed under the same keys that wrap the secrets (daemon/seals.h has what).
 *
 *   seal = kek id (8) ‖ HMAC-SHA-256(seal key, "encroot seal v1" ‖ 0 ‖ what)
 *   seal key = HMAC-SHA-256(sealed, "encroot seal key v1"), of one key-encryption key; `sealed` as
 *   in vault/kek.h: the same wherever that key is
 *
 * A seal holds for what it was made of at any time: it shows no older state that was put back.
 */
#ifndef ENCROOT_VAULT_SEAL_H
#define ENCROOT_VAULT_SEAL_H

#include "vault/kek.h"

#define SEAL_KEY_SIZE 32
#define SEAL_SIZE (KEK_ID_SIZE + 32)

/* Of all keys of a ring: each its id and its seal key. The first seals, all check. NULL: no locked
 * memory. */
struct secret *seal_keys(const struct kek_ring *ring);
/* Those that another process was given: -EINVAL for a size that seal_keys does not make. */
int seal_keys_check(const struct secret *keys, struct error *err) _must_use_;

int seal_make(uint8_t ret[SEAL_SIZE], const struct secret *keys, struct bytes what,
              struct error *err) _must_use_;
/* -EBADMSG: it is none of this; -ENOKEY: it may be, under a key that is none of these. */
int seal_check(const uint8_t seal[SEAL_SIZE], const struct secret *keys, struct bytes what,
               struct error *err) _must_use_;
/* Is it under the first key? Looks at the id only. */
bool seal_is_current(const uint8_t seal[SEAL_SIZE], const struct secret *keys);

#endif
