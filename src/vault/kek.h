/*
 * Key-encryption keys: volume secrets rest in the store wrapped with AES-256-GCM (NIST SP 800-38D)
 * under one of these, which is not in it (ATTACKS, K3).
 *
 *   wrapped = "EKW1" ‖ kek id (8) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
 *   additional data = "encroot vault v1" ‖ 0 ‖ kek id ‖ volume UUID (16): a wrapped secret opens as
 *   that of its own volume only
 *   kek id = the first 8 bytes of HMAC-SHA-256(key = sealed, "encroot kek id v1"), sealed = a block
 *   of 16 zeros under the key, with a nonce of zeros and "encroot kek id v1" as additional data,
 * and its tag: the same wherever the key is, so that brokers name one key alike, and one that moved
 *   into a token opens what it wrapped before. (Not the bare encrypted block: that is GCM's own
 *   authentication key, which should not leave a token.) From `sealed` comes the seal key, too
 *   (vault/seal.h).
 *
 * Nonces are 96 random bits, from the kernel. Under one key two of them are the same with a
 * probability of less than 2^-32 as long as there were no more than 2^32 wraps (SP 800-38D, 8.3): a
 * key wraps once for each volume that is registered, and once more with each rewrap; at a million
 * volumes that is a rewrap of all of them each day for eleven years.
 *
 * Where a key comes from, by URL:
 *   file:PATH                 32 random bytes; regular, not readable by group or others
 *   credential:NAME           the same from $CREDENTIALS_DIRECTORY (systemd.exec(5)), whose folder
 *                             systemd protects
 *   pkcs11:token=...;object=...?pin-source=file:PATH&module-path=...  (RFC 7512)
 *                             a 32-byte AES key with CKA_ENCRYPT and CKA_DECRYPT, which never
 * leaves the token; pin-source may be credential:NAME, too
 *
 * A key in memory is a struct secret. A key in a token is used through one session, which is opened
 * anew once when the token says that it is gone; the PIN is read each time, and wiped. A PIN that
 * the token refused then is not tried again, for that may lock the token. A ring belongs to one
 * thread.
 */
#ifndef ENCROOT_VAULT_KEK_H
#define ENCROOT_VAULT_KEK_H

#include "base/secret.h"

#define KEK_SIZE 32
#define KEK_ID_SIZE 8
#define KEK_WRAPPED_MAX ((size_t)4096)
#define KEK_WRAPPED_SIZE(n) (4 + KEK_ID_SIZE + 12 + (n) + 16)

struct kek; /* one key, wherever it is */

/*
 * Errors name the URL, without what stands behind "?". -EINVAL, -EPERM (readable by others),
 * -ENOENT (no such file, token or key), -EKEYREJECTED (a wrong PIN), -EIO (what else a token says).
 */
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

/* Appended to `ret`: KEK_WRAPPED_SIZE(secret_size(s)) bytes, at most KEK_WRAPPED_MAX. -ENOKEY:
 * the ring is empty. */
int kek_wrap(const struct kek_ring *ring, const uint8_t volume[16], const struct secret *s,
             struct buffer *ret, struct error *err) _must_use_;
/* -ENOKEY: wrapped under none of the ring's; -EBADMSG: damaged, or of another volume; else the key
 * could not be used. `ret` is what went into kek_wrap. */
int kek_unwrap(const struct kek_ring *ring, const uint8_t volume[16], struct bytes wrapped,
               struct secret **ret, struct error *err) _must_use_;
/* Is it wrapped under the ring's first key? Looks at the id only. */
bool kek_is_current(const struct kek_ring *ring, struct bytes wrapped);

#endif
