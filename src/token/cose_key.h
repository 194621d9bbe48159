/* COSE_Key (RFC 9052, 7): how Arm's newer profile writes the realm's public key. */
#ifndef ENCROOT_TOKEN_COSE_KEY_H
#define ENCROOT_TOKEN_COSE_KEY_H

#include "crypto/public_key.h"

/*
 * A public key on P-256, P-384 or P-521 with both coordinates in full (RFC 9053, 7.1.1), and
 * nothing else but an algorithm, which must be the curve's. `base` is the offset of `in` in the
 * outermost input, for errors. -EBADMSG for anything else, a private key above all.
 */
int cose_key_parse(EVP_PKEY **ret, struct bytes in, size_t base, struct error *err) _must_use_;
/* The shortest form, without an algorithm: 107 bytes on P-384. Appended to `ret`. */
int cose_key_encode(const EVP_PKEY *key, struct buffer *ret, struct error *err) _must_use_;

#endif
