#include "crypto/x509.h"
#include "crypto/openssl_error.h"
#include "crypto/pem.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

static void cleanup_bio(BIO **b)
{
    BIO_free_all(*b);
}
#define _bio_ _cleanup_(cleanup_bio)

static int parse_der(X509 **ret, struct bytes der, struct error *err)
{
    const unsigned char *p = der.data;
    X509 *c = d2i_X509(NULL, &p, (long)der.size);
    if (!c)
        return openssl_error(err, EBADMSG, "not a certificate");
    if (p != der.data + der.size) {
        X509_free(c);
        return error_set(err, EBADMSG, "%zu bytes behind the certificate",
                         (size_t)(der.data + der.size - p));
    }
    *ret = c;
    return 0;
}

static int parse_pem(X509 **ret, struct bytes in, struct error *err)
{
    _pem_ struct pem_block p = {0};
    if (!pem_read(&p, in))
        return openssl_error(err, EBADMSG, "not a certificate in PEM or DER");
    /* Not "TRUSTED CERTIFICATE": that one carries its own idea of trust. */
    if (strcmp(p.name, PEM_STRING_X509) != 0 || p.encrypted)
        return error_set(err, EBADMSG, "PEM block \"%.40s\" is not a plain CERTIFICATE", p.name);
    if (!p.alone)
        return error_set(err, EBADMSG, "something follows the certificate");
    return parse_der(ret, BYTES(p.data, p.size), err);
}

int certificate_parse(X509 **ret, struct bytes in, struct error *err)
{
    if (in.size == 0 || in.size > CERTIFICATE_MAX)
        return error_set(err, EBADMSG, "a certificate of %zu bytes: 1 to %zu are possible", in.size,
                         CERTIFICATE_MAX);
    /* DER starts with a SEQUENCE; that byte is '0', which no PEM file starts with in practice. */
    if (in.data[0] == 0x30)
        return parse_der(ret, in, err);
    return parse_pem(ret, in, err);
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

int certificate_subject(const X509 *c, struct buffer *ret)
{
    _bio_ BIO *bio = BIO_new(BIO_s_mem());
    if (!bio || X509_NAME_print_ex(bio, X509_get_subject_name(c), 0, XN_FLAG_RFC2253) < 0)
        return openssl_error(NULL, EIO, "formatting a name");
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);
    return buffer_append(ret, text, n > 0 ? (size_t)n : 0);
}
