/*
 * SM2 signatures in certificates and revocation lists. SM2 hashes an identifier of the signer in
 * front of the message; everybody's, in X.509, is the default one of GM/T 0009-2012, 10.
 * OpenSSL 3.0 has no default and must be told each time.
 */
#ifndef ENCROOT_CRYPTO_SM2_H
#define ENCROOT_CRYPTO_SM2_H

#include <openssl/x509.h>
#include <stdbool.h>

/* To be called once on a certificate that nobody else uses yet. True if it needs nothing, too. */
bool sm2_prepare_certificate(X509 *c);
/* To be called after EVP_DigestSignInit or EVP_DigestVerifyInit; does nothing for other keys. */
bool sm2_prepare_context(EVP_PKEY_CTX *ctx, const EVP_PKEY *key);
/* The digest that goes with a key in an X.509 signature. */
const EVP_MD *x509_digest_of_key(const EVP_PKEY *key);

#endif
