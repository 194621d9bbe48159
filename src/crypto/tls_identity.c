#include "crypto/tls_identity.h"
#include "base/io.h"
#include "crypto/x509.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>

#define PEM_MAX ((size_t)64 << 10)

static void free_bio(BIO **b)
{
    BIO_free_all(*b);
}
#define _bio_ _cleanup_(free_bio)

static int openssl_failed(struct error *err, int code, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    error_set(err, code, "%s: %s", what, reason ? reason : "failed");
    ERR_clear_error();
    return -code;
}

/* A key with a passphrase would make OpenSSL ask on the terminal: never. */
static int no_passphrase(char *buf, int size, int rw, void *arg)
{
    (void)buf, (void)size, (void)rw, (void)arg;
    return -1;
}

static int load_key(EVP_PKEY **ret, const char *path, struct error *err)
{
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (st.st_mode & 077)
        return error_hint(err,
                          error_set(err, EPERM, "%s: key file is open to others (mode %03o)", path,
                                    st.st_mode & 0777),
                          "chmod 600 %s", path);
    _bio_ BIO *bio = BIO_new_fd(fd, BIO_NOCLOSE);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    if (!key)
        return error_prefix(err, openssl_failed(err, EINVAL, "reading a private key in PEM"), "%s",
                            path);
    *ret = key;
    return 0;
}

int tls_certificate_load(X509 **ret, const char *path, struct error *err)
{
    _buffer_ struct buffer text = {0};
    int r = read_file(path, PEM_MAX, &text, err);
    if (r < 0)
        return r;
    _bio_ BIO *bio = BIO_new_mem_buf(text.data, (int)text.size);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    if (!certificate)
        return error_prefix(err, openssl_failed(err, EINVAL, "reading a certificate in PEM"), "%s",
                            path);
    *ret = certificate;
    return 0;
}

/* RFC 8446, 4.2.3. */
static const struct {
    const char *group;
    enum hash_alg hash;
    const EVP_MD *(*md)(void);
} pairs[] = {
    {"prime256v1", HASH_SHA256, EVP_sha256},
    {"secp384r1", HASH_SHA384, EVP_sha384},
};

static int prepare_signing(struct tls_identity *id, struct error *err)
{
    char group[32];
    size_t n, i = 0;
    if (!EVP_PKEY_is_a(id->key, "EC") ||
        EVP_PKEY_get_group_name(id->key, group, sizeof(group), &n) != 1)
        return 0;
    while (i < ARRAY_SIZE(pairs) && strcmp(group, pairs[i].group) != 0)
        i++;
    if (i == ARRAY_SIZE(pairs))
        return 0;
    id->signing = EVP_PKEY_CTX_new_from_pkey(NULL, id->key, NULL);
    if (!id->signing || EVP_PKEY_sign_init(id->signing) != 1 ||
        EVP_PKEY_CTX_set_signature_md(id->signing, pairs[i].md()) != 1)
        return openssl_failed(err, EIO, "preparing to sign");
    id->hash = pairs[i].hash;
    return 0;
}

int tls_identity_load(struct tls_identity **ret, const char *key_path, const char *cert_path,
                      struct error *err)
{
    struct tls_identity *id = calloc(1, sizeof(*id));
    if (!id)
        return error_set(err, ENOMEM, "out of memory");
    int r = tls_certificate_load(&id->certificate, cert_path, err);
    if (r == 0)
        r = load_key(&id->key, key_path, err);
    if (r == 0 && X509_check_private_key(id->certificate, id->key) != 1) {
        ERR_clear_error();
        r = error_hint(
            err,
            error_set(err, EINVAL, "%s: its private key is not the one in %s", cert_path, key_path),
            "restore the two files that belong together from a backup");
    }
    if (r == 0)
        r = prepare_signing(id, err);
    if (r < 0) {
        tls_identity_free(id);
        return r;
    }
    *ret = id;
    return 0;
}

static X509 *self_signed(EVP_PKEY *key)
{
    X509 *x = X509_new();
    uint8_t serial[16];
    BIGNUM *n =
        RAND_bytes(serial, sizeof(serial)) == 1 ? BN_bin2bn(serial, sizeof(serial), NULL) : NULL;
    X509_NAME *name = X509_NAME_new();
    bool ok = x && n && name && X509_set_version(x, X509_VERSION_3) == 1 &&
              BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                         (const unsigned char *)"encroot broker", -1, -1, 0) == 1 &&
              X509_set_subject_name(x, name) == 1 && X509_set_issuer_name(x, name) == 1 &&
              X509_set_pubkey(x, key) == 1 &&
              /* RFC 5280, 4.1.2.5: no well-defined end. Agents do not judge dates. */
              ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20000101000000Z") == 1 &&
              ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "99991231235959Z") == 1 &&
              X509_sign(x, key, EVP_sha256()) > 0;
    X509_NAME_free(name);
    BN_free(n);
    if (!ok) {
        X509_free(x);
        return NULL;
    }
    return x;
}

static int write_pem(BIO *bio, const char *path, mode_t mode, struct error *err)
{
    char *text;
    long size = BIO_get_mem_data(bio, &text);
    return write_file_atomic(path, BYTES(text, (size_t)size), mode, false, err);
}

int tls_identity_create(const char *key_path, const char *cert_path, struct error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = key ? self_signed(key) : NULL;
    _bio_ BIO *key_pem = BIO_new(BIO_s_secmem()); /* wiped when freed */
    _bio_ BIO *cert_pem = BIO_new(BIO_s_mem());
    int r = 0;
    if (!certificate || !key_pem || !cert_pem ||
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_X509(cert_pem, certificate) != 1)
        r = openssl_failed(err, EIO, "making the broker's key");
    if (r == 0)
        r = write_pem(key_pem, key_path, 0600, err);
    if (r == 0)
        r = write_pem(cert_pem, cert_path, 0644, err);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return r;
}

void tls_identity_free(struct tls_identity *id)
{
    if (!id)
        return;
    EVP_PKEY_CTX_free(id->signing);
    EVP_PKEY_free(id->key);
    X509_free(id->certificate);
    free(id);
}

EVP_PKEY *tls_identity_key(const struct tls_identity *id)
{
    return id->key;
}

int tls_identity_pin(const struct tls_identity *id, uint8_t ret[32])
{
    return certificate_spki_sha256(id->certificate, ret);
}

int tls_certificate_pin(uint8_t ret[32], const char *cert_path, struct error *err)
{
    X509 *certificate = NULL;
    int r = tls_certificate_load(&certificate, cert_path, err);
    if (r == 0 && certificate_spki_sha256(certificate, ret) < 0)
        r = error_set(err, EIO, "%s: cannot hash its public key", cert_path);
    X509_free(certificate);
    return r;
}

int tls_identity_sign(const struct tls_identity *id, struct bytes message, struct buffer *der,
                      struct error *err)
{
    uint8_t out[128];
    size_t n = sizeof(out);
    struct digest d;
    if (!id->hash)
        return error_set(err, ENOTSUP, "the broker's key: expected ECDSA on P-256 or P-384");
    if (digest_compute(&d, id->hash, message) < 0 ||
        EVP_PKEY_sign(id->signing, out, &n, d.bytes, d.size) != 1)
        return openssl_failed(err, EIO, "signing");
    return buffer_append(der, out, n) < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}
