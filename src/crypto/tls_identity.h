/* Inside of struct tls_identity, shared by tls.c and tls_identity.c only. */
#ifndef ENCROOT_CRYPTO_TLS_IDENTITY_H
#define ENCROOT_CRYPTO_TLS_IDENTITY_H

#include "crypto/tls.h"

#include <openssl/x509.h>

struct tls_identity {
    EVP_PKEY *key;
    X509 *certificate;
};

/* SHA-256 of the DER SubjectPublicKeyInfo. */
int spki_pin(const X509 *certificate, uint8_t ret[32]) _must_use_;

#endif
