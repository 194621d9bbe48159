/* Inside of struct tls_identity, for those who drive OpenSSL themselves. */
#ifndef ENCROOT_CRYPTO_TLS_IDENTITY_H
#define ENCROOT_CRYPTO_TLS_IDENTITY_H

#include "crypto/tls.h"

#include <openssl/x509.h>

struct tls_identity {
    EVP_PKEY *key;
    X509 *certificate;
    const EVP_MD *digest; /* that TLS 1.3 pairs with the key; NULL: it has none */
};

/* A certificate in PEM, without its key. Errors name the file. */
int tls_certificate_load(X509 **ret, const char *path, struct error *err) _must_use_;

#endif
