/*
 * Signatures of attestation tokens, by COSE algorithm (IANA "COSE Algorithms"), and the keys
 * that make them. An algorithm goes with exactly one kind of key: ES384 means P-384, and so on.
 */
#ifndef ENCROOT_CRYPTO_SIGNATURE_H
#define ENCROOT_CRYPTO_SIGNATURE_H

#include "crypto/public_key.h"

enum cose_alg {
    COSE_ES256 = -7,  /* P-256, SHA-256; signature r‖s, 64 bytes (RFC 9053, 2.1) */
    COSE_ES384 = -35, /* P-384, SHA-384; 96 bytes */
    COSE_ES512 = -36, /* P-521, SHA-512; 132 bytes */
    COSE_PS256 = -37, /* RSA of 2048 bits or more, PSS, SHA-256, salt 32 (RFC 8230, 2) */
};

/* "ES256" and so on; NULL if unknown. */
const char *cose_alg_name(int64_t alg);
/* The algorithm a key signs with, 0 when no algorithm here uses such a key. */
int64_t cose_alg_of_key(const EVP_PKEY *key);

/*
 * 0 only if `signature` is `key`'s over `message`. -EKEYREJECTED when it is not, -ENOTSUP for
 * an algorithm that is unknown or does not go with the key.
 *
 * ES512 also takes a DER ECDSA-Sig-Value (RFC 3279, 2.2.3), which virtCCA firmware writes:
 * the one DER encoding of the two numbers, nothing behind it.
 */
int signature_verify(EVP_PKEY *key, int64_t alg, struct bytes message, struct bytes signature,
                     struct error *err) _must_use_;
/* The signature is appended to `ret`, always as COSE has it. */
int signature_sign(EVP_PKEY *key, int64_t alg, struct bytes message, struct buffer *ret,
                   struct error *err) _must_use_;
/* r‖s as DER ECDSA-Sig-Value, appended to `ret`. */
int signature_raw_to_der(struct bytes raw, struct buffer *ret, struct error *err) _must_use_;

#endif
