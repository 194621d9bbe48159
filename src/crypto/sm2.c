#include "crypto/sm2.h"

#include <string.h>

static const char default_id[] = "1234567812345678";

bool sm2_prepare_certificate(X509 *c)
{
    /* Only where it is used: OpenSSL fails to verify other signatures when an identifier is set. */
    if (X509_get_signature_nid(c) != NID_SM2_with_SM3)
        return true;
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    if (!id || ASN1_OCTET_STRING_set(id, (const unsigned char *)default_id,
                                     (int)strlen(default_id)) != 1) {
        ASN1_OCTET_STRING_free(id);
        return false;
    }
    X509_set0_distinguishing_id(c, id);
    return true;
}

bool sm2_prepare_context(EVP_PKEY_CTX *ctx, const EVP_PKEY *key)
{
    return !EVP_PKEY_is_a(key, "SM2") ||
           EVP_PKEY_CTX_set1_id(ctx, default_id, (int)strlen(default_id)) > 0;
}

const EVP_MD *x509_digest_of_key(const EVP_PKEY *key)
{
    if (EVP_PKEY_is_a(key, "SM2"))
        return EVP_sm3();
    return EVP_PKEY_get_bits(key) == 521 ? EVP_sha512() : EVP_sha256();
}
