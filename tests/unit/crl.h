/* Revocation lists for tests. */
#ifndef ENCROOT_TESTS_CRL_H
#define ENCROOT_TESTS_CRL_H

#include "crypto/crl.h"
#include "crypto/x509_issue.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct crl_request {
    X509 *issuer;
    EVP_PKEY *issuer_key;
    const X509 *revoked;     /* NULL: none */
    const char *this_update; /* YYYYMMDDHHMMSSZ; NULL: the start of 2024 */
    const char *next_update; /* NULL: none in the list */
    int extension;           /* NID of one to add; 0: none */
    const char *value;       /* of the extension, as in openssl.cnf */
};

static inline bool crl_set_time(X509_CRL *crl, int (*set)(X509_CRL *, const ASN1_TIME *),
                                const char *text)
{
    ASN1_TIME *t = ASN1_TIME_new();
    bool ok = t && ASN1_TIME_set_string_X509(t, text) == 1 && set(crl, t) == 1;
    ASN1_TIME_free(t);
    return ok;
}

static inline bool crl_add_entry(X509_CRL *crl, const X509 *c)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *t = ASN1_TIME_new();
    bool ok =
        entry && t && ASN1_TIME_set_string_X509(t, "20240501000000Z") == 1 &&
        X509_REVOKED_set_revocationDate(entry, t) == 1 &&
        X509_REVOKED_set_serialNumber(entry, (ASN1_INTEGER *)X509_get0_serialNumber(c)) == 1 &&
        X509_CRL_add0_revoked(crl, entry) == 1;
    ASN1_TIME_free(t);
    if (!ok)
        X509_REVOKED_free(entry);
    return ok;
}

static inline bool crl_add_extension(X509_CRL *crl, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, NULL, NULL, NULL, crl, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_CRL_add_ext(crl, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static inline int crl_issue(X509_CRL **ret, const struct crl_request *req)
{
    _crl_ X509_CRL *crl = X509_CRL_new();
    EVP_MD_CTX *signer = certificate_signer(req->issuer_key);
    const char *from = req->this_update ? req->this_update : "20240101000000Z";
    bool ok =
        crl && signer && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(req->issuer)) == 1 &&
        crl_set_time(crl, X509_CRL_set1_lastUpdate, from) &&
        (!req->next_update || crl_set_time(crl, X509_CRL_set1_nextUpdate, req->next_update)) &&
        (!req->revoked || crl_add_entry(crl, req->revoked)) &&
        (!req->extension || crl_add_extension(crl, req->extension, req->value)) &&
        X509_CRL_sort(crl) == 1 && X509_CRL_sign_ctx(crl, signer) > 0;
    EVP_MD_CTX_free(signer);
    if (!ok)
        return -EIO;
    *ret = TAKE_PTR(crl);
    return 0;
}

/* DER, or PEM; appended to `ret`. */
static inline int crl_encode(const X509_CRL *crl, bool pem, struct buffer *ret)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    long n = 0;
    if (bio && (pem ? PEM_write_bio_X509_CRL(bio, crl) : i2d_X509_CRL_bio(bio, crl)) == 1)
        n = BIO_get_mem_data(bio, &data);
    int r = n > 0 ? buffer_append(ret, data, (size_t)n) : -EIO;
    BIO_free_all(bio);
    return r;
}

/* Issue and encode in one. */
static inline int crl_make(const struct crl_request *req, bool pem, struct buffer *ret)
{
    _crl_ X509_CRL *crl = NULL;
    int r = crl_issue(&crl, req);
    return r < 0 ? r : crl_encode(crl, pem, ret);
}

#endif
