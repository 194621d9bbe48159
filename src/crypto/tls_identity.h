/* Inside of struct tls_identity, shared by tls.c and tls_identity.c only. */
#ifndef ENCROOT_CRYPTO_TLS_IDENTITY_H
#define ENCROOT_CRYPTO_TLS_IDENTITY_H

#include "crypto/tls.h"

#include <openssl/x509.h>

struct tls_identity {
    EVP_PKEY *key;
    X509 *certificate;
};

#endif
