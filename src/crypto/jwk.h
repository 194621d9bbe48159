/* Public keys as JSON Web Keys (RFC 7517; RFC 7518, 6.2 and 6.3). */
#ifndef ENCROOT_CRYPTO_JWK_H
#define ENCROOT_CRYPTO_JWK_H

#include "base/json.h"
#include "crypto/public_key.h"

/*
 * "EC" on P-256, P-384 or P-521 and "RSA" of 2048 to 8192 bits. Members that say nothing about the
 * key itself are ignored, as RFC 7517, 4 wants it; those of a private key are an error (-EPERM).
 * `name` is used in errors. -EINVAL for what is not a key, -EBADMSG for one that cannot be.
 */
int jwk_parse(EVP_PKEY **ret, const json_t *jwk, const char *name, struct error *err) _must_use_;

#endif
