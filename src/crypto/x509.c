#include "crypto/x509.h"
#include "crypto/openssl_error.h"
#include "crypto/pem.h"
#include "crypto/sm2.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

static void cleanup_bio(BIO **b)
{
    BIO_free_all(*b);
}
#define _bio_ _cleanup_(cleanup_bio)

static const struct pem_kind kind = {PEM_STRING_X509, "certificate", CERTIFICATE_MAX};

static int parse_der(X509 **ret, struct bytes der, struct error *err)
{
    const unsigned char *p = der.data;
    _x509_ X509 *c = d2i_X509(NULL, &p, (long)der.size);
    if (!c)
        return openssl_error(err, EBADMSG, "not a certificate");
    if (p != der.data + der.size)
        return error_set(err, EBADMSG, "%zu bytes behind the certificate",
                         (size_t)(der.data + der.size - p));
    if (!sm2_prepare_certificate(c))
        return error_set(err, ENOMEM, "certificate");
    *ret = TAKE_PTR(c);
    return 0;
}

int certificate_parse(X509 **ret, struct bytes in, struct error *err)
{
    _buffer_ struct buffer der = {0};
    int r = pem_or_der(&kind, in, &der, err);
    return r < 0 ? r : parse_der(ret, buffer_bytes(&der), err);
}

int certificate_sha256(const X509 *c, uint8_t ret[32])
{
    unsigned n = 0;
    uint8_t md[EVP_MAX_MD_SIZE];
    if (X509_digest(c, EVP_sha256(), md, &n) != 1 || n != 32)
        return openssl_error(NULL, EIO, "hashing a certificate");
    memcpy(ret, md, 32);
    return 0;
}

EVP_PKEY *certificate_public_key(const X509 *c)
{
    return X509_get0_pubkey(c);
}

bool certificate_is_signing_leaf(X509 *c)
{
    /* X509_get_key_usage gives all bits where the extension is absent (RFC 5280, 4.2.1.3). */
    return X509_check_ca(c) == 0 && (X509_get_extension_flags(c) & EXFLAG_INVALID) == 0 &&
           (X509_get_key_usage(c) & KU_DIGITAL_SIGNATURE) != 0;
}

int certificate_name(const X509_NAME *name, struct buffer *ret)
{
    _bio_ BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
        return openssl_error(NULL, EIO, "formatting a name");
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);
    return buffer_append(ret, text, n > 0 ? (size_t)n : 0);
}

int certificate_subject(const X509 *c, struct buffer *ret)
{
    return certificate_name(X509_get_subject_name(c), ret);
}
