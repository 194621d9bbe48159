/* COSE_Sign1 (RFC 9052, 4.2): the envelope of both parts of a CCA token. */
#ifndef ENCROOT_TOKEN_COSE_H
#define ENCROOT_TOKEN_COSE_H

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/signature.h"

struct cose_sign1 {
    int64_t alg;            /* from the protected header */
    struct bytes protected; /* the header's bytes, as signed */
    struct bytes payload;
    struct bytes signature;
};

/*
 * `in` is exactly tag 18 with its array; views point into it. `base` is its offset in the
 * outermost input, for errors. The protected header must hold an algorithm and nothing critical
 * (RFC 9052, 3.1); the unprotected header must be empty: nothing in it is signed.
 */
int cose_sign1_parse(struct cose_sign1 *ret, struct bytes in, size_t base,
                     struct error *err) _must_use_;
/* The signed bytes: Sig_structure (RFC 9052, 4.4), without external data. Appended to `ret`. */
int cose_sign1_tbs(struct bytes protected, struct bytes payload, struct buffer *ret) _must_use_;
/* As signature_verify. */
int cose_sign1_verify(const struct cose_sign1 *s, EVP_PKEY *key, struct error *err) _must_use_;
/* Sign `payload` with the algorithm that goes with `key`; the message is appended to `ret`. */
int cose_sign1_create(struct buffer *ret, EVP_PKEY *key, struct bytes payload,
                      struct error *err) _must_use_;
/* Put one together from parts, whatever they are. Appended to `ret`. */
int cose_sign1_encode(struct buffer *ret, const struct cose_sign1 *s) _must_use_;

#endif
