#include "cli/inspect.h"
#include "crypto/x509.h"

#include <openssl/bio.h>
#include <openssl/evp.h>

/* What OpenSSL prints into a memory BIO, as a member. */
static void put_bio(json_t *j, const char *key, BIO *bio)
{
    char *data = NULL;
    long size = BIO_get_mem_data(bio, &data);
    if (size > 0)
        inspect_put_text(j, key, BYTES(data, (size_t)size));
    BIO_reset(bio);
}

static void put_names_and_dates(json_t *j, X509 *c, BIO *bio)
{
    const unsigned long flags = XN_FLAG_RFC2253 | ASN1_STRFLGS_ESC_CTRL;
    X509_NAME_print_ex(bio, X509_get_subject_name(c), 0, flags);
    put_bio(j, "subject", bio);
    X509_NAME_print_ex(bio, X509_get_issuer_name(c), 0, flags);
    put_bio(j, "issuer", bio);
    i2a_ASN1_INTEGER(bio, X509_get0_serialNumber(c));
    put_bio(j, "serial", bio);
    ASN1_TIME_print(bio, X509_get0_notBefore(c));
    put_bio(j, "not_before", bio);
    ASN1_TIME_print(bio, X509_get0_notAfter(c));
    put_bio(j, "not_after", bio);
}

static void put_key(json_t *j, const X509 *c)
{
    char text[64];
    EVP_PKEY *key = certificate_public_key(c);
    const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;
    snprintf(text, sizeof(text), "%s, %d bits", type ? type : "unknown",
             key ? EVP_PKEY_get_bits(key) : 0);
    json_object_set_new(j, "key", json_string(text));
}

int inspect_certificate(json_t **ret, struct bytes in, struct error *err)
{
    _x509_ X509 *c = NULL;
    uint8_t hash[32];
    int r = certificate_parse(&c, in, err);
    if (r < 0)
        return r;
    BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || certificate_sha256(c, hash) < 0) {
        BIO_free(bio);
        return error_set(err, ENOMEM, "out of memory");
    }
    json_t *j = json_object();
    put_names_and_dates(j, c, bio);
    put_key(j, c);
    json_object_set_new(j, "signing_leaf", json_boolean(certificate_is_signing_leaf(c)));
    inspect_put_hex(j, "sha256", BYTES_OF(hash));
    BIO_free(bio);
    *ret = j;
    return 0;
}
