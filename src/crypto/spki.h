/*
 * SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) of the keys that evidence has: RSA (RFC 3279, 2.3.1)
 * and ECDSA with a named curve (RFC 5480, 2). OpenSSL's decoder, which tries every form of a key
 * that it knows, costs several times what a verification by an RSA key does.
 */
#ifndef ENCROOT_CRYPTO_SPKI_H
#define ENCROOT_CRYPTO_SPKI_H

#include "base/bytes.h"

/* Borrowed from what was read. Of RSA the numbers, big-endian; of EC `04 ‖ x ‖ y`. */
struct spki {
    struct bytes modulus, exponent;
    struct bytes point;
};

/* False: a key of another kind, or not the DER of one, without trailing bytes. */
bool spki_read(struct spki *ret, struct bytes der);

#endif
