/* Issuing certificates: the software TMM's own authority, and chains for tests. */
#ifndef ENCROOT_CRYPTO_X509_ISSUE_H
#define ENCROOT_CRYPTO_X509_ISSUE_H

#include "crypto/x509.h"

struct certificate_request {
    const char *name; /* common name */
    EVP_PKEY *key;    /* the subject's; its public part is enough */
    X509 *issuer;     /* NULL: self-signed, with issuer_key = key */
    EVP_PKEY *issuer_key;
    bool ca;
    const char *path_length; /* decimal digits; NULL: no limit. Only with `ca` */
    const char *key_usage;   /* NULL: keyCertSign,cRLSign for a CA, digitalSignature else */
    const char *not_before;  /* YYYYMMDDHHMMSSZ; NULL: the start of 2024 */
    const char *not_after;   /* the same; NULL: never (RFC 5280, 4.1.2.5) */
};

int certificate_issue(X509 **ret, const struct certificate_request *req,
                      struct error *err) _must_use_;
/*
 * A context for X509_sign_ctx and X509_CRL_sign_ctx with the digest that goes with the key, NULL
 * on failure. EVP_MD_CTX_free.
 */
EVP_MD_CTX *certificate_signer(EVP_PKEY *key);
/* DER, or PEM; appended to `ret`. */
int certificate_encode(const X509 *c, bool pem, struct buffer *ret, struct error *err) _must_use_;

#endif
