#include "crypto/crl.h"
#include "crypto/openssl_error.h"
#include "crypto/pem.h"
#include "crypto/sm2.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

static const struct pem_kind kind = {PEM_STRING_X509_CRL, "revocation list", CRL_MAX};

int crl_parse(X509_CRL **ret, struct bytes in, struct error *err)
{
    _buffer_ struct buffer der = {0};
    int r = pem_or_der(&kind, in, &der, err);
    if (r < 0)
        return r;
    const unsigned char *p = der.data;
    _crl_ X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.size);
    if (!crl)
        return openssl_error(err, EBADMSG, "not a revocation list");
    if (p != der.data + der.size)
        return error_set(err, EBADMSG, "%zu bytes behind the revocation list",
                         (size_t)(der.data + der.size - p));
    *ret = TAKE_PTR(crl);
    return 0;
}

static bool any_critical(const STACK_OF(X509_EXTENSION) * extensions)
{
    for (int i = 0; i < sk_X509_EXTENSION_num(extensions); i++)
        if (X509_EXTENSION_get_critical(sk_X509_EXTENSION_value(extensions, i)))
            return true;
    return false;
}

/*
 * RFC 5280, 5.2: whatever makes a list other than complete (delta CRL indicator, issuing
 * distribution point), or an entry other than about the list's own issuer, is critical; the rest
 * (number, key identifier, reasons) is not, and changes nothing.
 */
static bool is_complete(X509_CRL *crl)
{
    if (any_critical(X509_CRL_get0_extensions(crl)))
        return false;
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
    for (int i = 0; i < sk_X509_REVOKED_num(entries); i++)
        if (any_critical(X509_REVOKED_get0_extensions(sk_X509_REVOKED_value(entries, i))))
            return false;
    return true;
}

/* As chains have it (security level 2): nothing below 112 bits, so no SHA-1. */
#define DIGEST_MIN 28

static int digest_nid(const X509_ALGOR *alg)
{
    const ASN1_OBJECT *object;
    int type, md = NID_undef;
    const void *value;
    X509_ALGOR_get0(&object, &type, &value, alg);
    if (OBJ_obj2nid(object) != NID_rsassaPss)
        return OBJ_find_sigid_algs(OBJ_obj2nid(object), &md, NULL) == 1 ? md : NID_undef;
    RSA_PSS_PARAMS *pss =
        type == V_ASN1_SEQUENCE ? ASN1_item_unpack(value, ASN1_ITEM_rptr(RSA_PSS_PARAMS)) : NULL;
    if (pss && pss->hashAlgorithm) {
        X509_ALGOR_get0(&object, NULL, NULL, pss->hashAlgorithm);
        md = OBJ_obj2nid(object);
    }
    RSA_PSS_PARAMS_free(pss); /* without hashAlgorithm it is SHA-1 (RFC 8017, A.2.3) */
    return md;
}

static bool is_strong(const X509_CRL *crl)
{
    const X509_ALGOR *alg;
    X509_CRL_get0_signature(crl, NULL, &alg);
    const EVP_MD *md = EVP_get_digestbynid(digest_nid(alg));
    return md && EVP_MD_get_size(md) >= DIGEST_MIN;
}

/* X509_CRL_verify cannot be told SM2's identifier. */
static bool verify_sm2(X509_CRL *crl, EVP_PKEY *key)
{
    const ASN1_BIT_STRING *signature;
    unsigned char *tbs = NULL;
    X509_CRL_get0_signature(crl, &signature, NULL);
    int size = i2d_re_X509_CRL_tbs(crl, &tbs);
    EVP_PKEY_CTX *pkey = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok =
        size > 0 && ctx && X509_CRL_get_signature_nid(crl) == NID_SM2_with_SM3 &&
        EVP_DigestVerifyInit(ctx, &pkey, EVP_sm3(), NULL, key) == 1 &&
        sm2_prepare_context(pkey, key) &&
        EVP_DigestVerify(ctx, signature->data, (size_t)signature->length, tbs, (size_t)size) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(tbs);
    return ok;
}

int crl_verify(X509_CRL *crl, X509 *issuer, struct error *err)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    if (!key)
        return openssl_error(err, EBADMSG, "its issuer's key is of an unknown kind");
    /* X509_get_key_usage gives all bits where the extension is absent (RFC 5280, 4.2.1.3). */
    if (X509_check_ca(issuer) == 0 || (X509_get_key_usage(issuer) & KU_CRL_SIGN) == 0)
        return error_set(err, EBADMSG, "its issuer may not sign revocation lists");
    if (!is_strong(crl))
        return error_set(err, EBADMSG, "it is signed with a digest that is too weak");
    if (!is_complete(crl))
        return error_set(err, EBADMSG,
                         "it is a delta, indirect or partial list, or has another critical "
                         "extension: only complete lists are understood");
    if (EVP_PKEY_is_a(key, "SM2") ? !verify_sm2(crl, key) : X509_CRL_verify(crl, key) != 1)
        return openssl_error(err, EBADMSG, "its issuer did not sign it");
    return 0;
}

bool crl_lists(X509_CRL *crl, const X509 *c, const X509_REVOKED **entry)
{
    X509_REVOKED *found = NULL;
    /* 2 is "removeFromCRL", which has no meaning in a complete list (RFC 5280, 5.3.1). */
    if (X509_CRL_get0_by_cert(crl, &found, (X509 *)c) == 0)
        return false;
    *entry = found;
    return true;
}

bool x509_time(const ASN1_TIME *t, time_t *ret)
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1) /* of NULL it would make the current time */
        return false;
    *ret = timegm(&tm);
    return true;
}
