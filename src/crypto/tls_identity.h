/* Inside of struct tls_identity, for those who drive OpenSSL themselves. */
#ifndef ENCROOT_CRYPTO_TLS_IDENTITY_H
#define ENCROOT_CRYPTO_TLS_IDENTITY_H

#include "crypto/digest.h"
#include "crypto/tls.h"

#include <openssl/x509.h>

struct tls_identity {
    EVP_PKEY *key;
    X509 *certificate;
    enum hash_alg hash; /* that TLS 1.3 pairs with the key; HASH_NONE: it has none */
    /* Made once: what OpenSSL looks up for each costs more than a signature. With `hash`. */
    EVP_PKEY_CTX *signing;
};

/* A certificate in PEM, without its key. Errors name the file. */
int tls_certificate_load(X509 **ret, const char *path, struct error *err) _must_use_;

#endif
