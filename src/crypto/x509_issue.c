#include "crypto/x509_issue.h"
#include "crypto/openssl_error.h"
#include "crypto/sm2.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

static bool set_serial(X509 *c)
{
    unsigned char random[16];
    if (RAND_bytes(random, sizeof(random)) != 1)
        return false;
    random[0] = (random[0] & 0x3f) | 0x40; /* positive, and always 16 bytes */
    BIGNUM *n = BN_bin2bn(random, sizeof(random), NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(c));
    BN_free(n);
    return ok;
}

/* An authority for development has no use for dates; encroot judges them only if told to. */
static bool set_dates(X509 *c, const struct certificate_request *req)
{
    const char *from = req->not_before ? req->not_before : "20240101000000Z";
    const char *until = req->not_after ? req->not_after : "99991231235959Z";
    return ASN1_TIME_set_string_X509(X509_getm_notBefore(c), from) == 1 &&
           ASN1_TIME_set_string_X509(X509_getm_notAfter(c), until) == 1;
}

static bool set_names(X509 *c, const struct certificate_request *req)
{
    X509_NAME *name = X509_get_subject_name(c);
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"encroot",
                                      -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)req->name,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(c, req->issuer ? X509_get_subject_name(req->issuer) : name) == 1;
}

static bool add_extension(X509 *c, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer ? issuer : c, c, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(c, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool add_extensions(X509 *c, const struct certificate_request *req)
{
    char constraints[64] = "critical,CA:FALSE";
    if (req->ca)
        snprintf(constraints, sizeof(constraints), "critical,CA:TRUE%s%.8s",
                 req->path_length ? ",pathlen:" : "", req->path_length ? req->path_length : "");
    char usage[128];
    snprintf(usage, sizeof(usage), "critical,%.100s",
             req->key_usage ? req->key_usage
             : req->ca      ? "keyCertSign,cRLSign"
                            : "digitalSignature");
    return add_extension(c, req->issuer, NID_basic_constraints, constraints) &&
           add_extension(c, req->issuer, NID_key_usage, usage) &&
           add_extension(c, req->issuer, NID_subject_key_identifier, "hash") &&
           add_extension(c, req->issuer, NID_authority_key_identifier, "keyid:always");
}

EVP_MD_CTX *certificate_signer(EVP_PKEY *key)
{
    EVP_PKEY_CTX *pkey = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestSignInit(ctx, &pkey, x509_digest_of_key(key), NULL, key) == 1 &&
        sm2_prepare_context(pkey, key))
        return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

static bool sign(X509 *c, EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = certificate_signer(key);
    bool ok = ctx && X509_sign_ctx(c, ctx) > 0 && sm2_prepare_certificate(c);
    EVP_MD_CTX_free(ctx);
    return ok;
}

int certificate_issue(X509 **ret, const struct certificate_request *req, struct error *err)
{
    _x509_ X509 *c = X509_new();
    if (!c || X509_set_version(c, X509_VERSION_3) != 1 || !set_serial(c) || !set_dates(c, req) ||
        !set_names(c, req) || X509_set_pubkey(c, req->key) != 1 || !add_extensions(c, req) ||
        !sign(c, req->issuer ? req->issuer_key : req->key))
        return openssl_error(err, EIO, "issuing a certificate for \"%s\"", req->name);
    *ret = TAKE_PTR(c);
    return 0;
}

int certificate_encode(const X509 *c, bool pem, struct buffer *ret, struct error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    long n = 0;
    if (bio && (pem ? PEM_write_bio_X509(bio, c) : i2d_X509_bio(bio, c)) == 1)
        n = BIO_get_mem_data(bio, &data);
    int r = n > 0 ? buffer_append(ret, data, (size_t)n) : -EIO;
    BIO_free_all(bio);
    return r < 0 ? openssl_error(err, -r, "encoding a certificate") : 0;
}
