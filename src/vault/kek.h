/*
 * Key-encryption keys: volume secrets rest in the store wrapped with AES-256-GCM under one of
 * these, which is not in it (ATTACKS, K3).
 *
 *   wrapped = "EKW1" ‖ kek id (8) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
 *   additional data = "encroot vault v1" ‖ 0 ‖ kek id ‖ volume UUID (16): a wrapped secret opens as
 *   that of its own volume only
 *
 * Where a key comes from, by URL:
 *   file:PATH                 32 random bytes; regular, not readable by group or others
 *   credential:NAME           the same from $CREDENTIALS_DIRECTORY (systemd.exec(5))
 *   pkcs11:token=...;object=...;type=secret-key?pin-source=file:PATH&module-path=...  (RFC 7512);
 *                             the key never leaves the token
 * kek id: of a key in memory the first 8 bytes of HMAC-SHA-256(key, "encroot kek id v1"); of one in
 * a token the same of its encrypted zero block, so that two brokers name one key alike.
 */
#ifndef ENCROOT_VAULT_KEK_H
#define ENCROOT_VAULT_KEK_H

#include "base/secret.h"

#define KEK_SIZE 32
#define KEK_ID_SIZE 8
#define KEK_WRAPPED_SIZE(n) (4 + KEK_ID_SIZE + 12 + (n) + 16)

struct kek; /* one key, wherever it is */

/* Errors name the URL, never a PIN. -EINVAL, -EPERM, -ENOENT, -EKEYREJECTED (a wrong PIN). */
int kek_open(struct kek **ret, const char *url, struct error *err) _must_use_;
void kek_close(struct kek *k);
const uint8_t *kek_id(const struct kek *k); /* KEK_ID_SIZE bytes */
/* A new key in a new file, mode 0600; -EEXIST. */
int kek_create_file(const char *path, struct error *err) _must_use_;

/* The keys of a broker: the first wraps, all unwrap (old ones until everything is rewrapped). */
struct kek_ring {
    struct kek *keys[8];
    size_t count;
};
void kek_ring_close(struct kek_ring *r);

/* Appended to `ret`. */
int kek_wrap(const struct kek_ring *ring, const uint8_t volume[16], const struct secret *s,
             struct buffer *ret, struct error *err) _must_use_;
/* -ENOKEY: wrapped under none of the ring's; -EBADMSG: damaged, or of another volume. */
int kek_unwrap(const struct kek_ring *ring, const uint8_t volume[16], struct bytes wrapped,
               struct secret **ret, struct error *err) _must_use_;
/* Is it wrapped under the ring's first key? Looks at the id only. */
bool kek_is_current(const struct kek_ring *ring, struct bytes wrapped);

#endif
