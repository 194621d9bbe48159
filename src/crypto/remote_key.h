/*
 * A private key that is elsewhere: an EVP_PKEY of a public EC key (P-256, P-384) with which OpenSSL
 * makes one kind of signature, by handing the whole message to a function. TLS works with it as
 * with any key.
 *
 * It is an OpenSSL provider, not a key with a method of its own: a method would be asked to sign a
 * digest, and whoever has the key could not tell what it is the digest of. The provider is
 * registered in a library context of its own, where nothing else finds it.
 *
 * It signs with the digest that TLS 1.3 pairs with the curve (RFC 8446, 4.2.3:
 * ecdsa_secp256r1_sha256, ecdsa_secp384r1_sha384), in one call; it refuses all other operations.
 */
#ifndef ENCROOT_CRYPTO_REMOTE_KEY_H
#define ENCROOT_CRYPTO_REMOTE_KEY_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/evp.h>

struct remote_key;

struct remote_signer {
    /* Appends to `der` (which has a maximum) an ECDSA-Sig-Value over `message`. 0 or a negative
     * errno, which fails the operation in OpenSSL. */
    int (*sign)(void *arg, struct bytes message, struct buffer *der);
    void *arg;
};

/* `public` is only read. -ENOTSUP for anything but P-256 and P-384. */
int remote_key_new(struct remote_key **ret, const EVP_PKEY *public,
                   const struct remote_signer *signer, struct error *err) _must_use_;
/* Borrowed. All that holds a reference to it (SSL_CTX, SSL) must be freed before the remote key. */
EVP_PKEY *remote_key_pkey(const struct remote_key *k);
void remote_key_free(struct remote_key *k); /* NULL is allowed */

#endif
