#include "tmm/authority.h"

#include "base/hex.h"
#include "base/io.h"
#include "base/secret.h"
#include "crypto/openssl_error.h"
#include "crypto/signature.h"
#include "crypto/x509_issue.h"

#include <limits.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)64 << 10)
#define PIN_SIZE 32

const char *authority_name(enum authority_kind kind)
{
    return kind == AUTHORITY_RSA ? "rsa" : "p521";
}

EVP_PKEY *authority_new_key(enum authority_kind kind)
{
    return kind == AUTHORITY_RSA ? EVP_RSA_gen(4096) : EVP_EC_gen("P-521");
}

void authority_free(struct authority *a)
{
    EVP_PKEY_free(a->aik);
    buffer_free(&a->certificate);
    *a = (struct authority){0};
}

static int join(char ret[PATH_MAX], const char *folder, const char *name, struct error *err)
{
    int n = snprintf(ret, PATH_MAX, "%s/%s", folder, name);

    return n < PATH_MAX ? 0 : error_set(err, ENAMETOOLONG, "%s/%s", folder, name);
}

static int write_in(const char *folder, const char *name, const struct buffer *content, mode_t mode,
                    struct error *err)
{
    char path[PATH_MAX];
    int r = join(path, folder, name, err);

    return r < 0 ? r : write_file_atomic(path, buffer_bytes(content), mode, false, err);
}

static int write_key(const char *folder, const char *name, EVP_PKEY *key, struct error *err)
{
    _buffer_ struct buffer text = {0};
    BIO *bio = BIO_new(BIO_s_secmem());
    char *pem = NULL;
    int r = -ENOMEM;

    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        long size = BIO_get_mem_data(bio, &pem);
        r = buffer_append(&text, pem, (size_t)size);
    }
    r = r < 0 ? error_errno(err, -r, "%s", name) : write_in(folder, name, &text, 0600, err);
    wipe(text.data, text.size);
    BIO_free(bio);
    return r;
}

static int write_certificate(const char *folder, const char *name, X509 *c, bool pem,
                             struct error *err)
{
    _buffer_ struct buffer content = {0};
    int r = certificate_encode(c, pem, &content, err);

    return r < 0 ? r : write_in(folder, name, &content, 0644, err);
}

static int write_pins(const char *folder, X509 *root, struct error *err)
{
    _buffer_ struct buffer text = {0};
    char hex[2 * PIN_SIZE + 1];
    uint8_t pin[PIN_SIZE];
    int r = certificate_sha256(root, pin);

    if (r == 0) {
        hex_encode(BYTES_OF(pin), hex);
        r = buffer_printf(&text, "# " AUTHORITY_NAME ": root\n%s\n", hex);
    }
    return r < 0 ? error_errno(err, -r, "pins") : write_in(folder, "trust/pins", &text, 0644, err);
}

struct hierarchy {
    EVP_PKEY *root_key, *intermediate_key, *aik;
    X509 *root, *intermediate, *aik_certificate;
};

static void hierarchy_free(struct hierarchy *h)
{
    EVP_PKEY_free(h->root_key);
    EVP_PKEY_free(h->intermediate_key);
    EVP_PKEY_free(h->aik);
    X509_free(h->root);
    X509_free(h->intermediate);
    X509_free(h->aik_certificate);
}

static int hierarchy_make(struct hierarchy *h, enum authority_kind kind, struct error *err)
{
    h->root_key = authority_new_key(kind);
    h->intermediate_key = authority_new_key(kind);
    h->aik = authority_new_key(kind);
    if (!h->root_key || !h->intermediate_key || !h->aik)
        return openssl_error(err, EIO, "cannot make keys");
    int r = certificate_issue(&h->root,
                              &(struct certificate_request){.name = AUTHORITY_NAME ": root CA",
                                                            .key = h->root_key,
                                                            .issuer_key = h->root_key,
                                                            .ca = true,
                                                            .path_length = "1"},
                              err);
    if (r == 0)
        r = certificate_issue(
            &h->intermediate,
            &(struct certificate_request){.name = AUTHORITY_NAME ": intermediate CA",
                                          .key = h->intermediate_key,
                                          .issuer = h->root,
                                          .issuer_key = h->root_key,
                                          .ca = true,
                                          .path_length = "0"},
            err);
    if (r == 0)
        r = certificate_issue(
            &h->aik_certificate,
            &(struct certificate_request){.name = AUTHORITY_NAME ": attestation key",
                                          .key = h->aik,
                                          .issuer = h->intermediate,
                                          .issuer_key = h->intermediate_key},
            err);
    return r;
}

static int hierarchy_write(const struct hierarchy *h, const char *folder, struct error *err)
{
    char trust[PATH_MAX];
    int r = join(trust, folder, "trust", err);

    if (r == 0 && mkdir(trust, 0755) < 0)
        r = error_errno(err, errno, "%s", trust);
    if (r == 0)
        r = write_certificate(folder, "trust/root.pem", h->root, true, err);
    if (r == 0)
        r = write_certificate(folder, "trust/intermediate.pem", h->intermediate, true, err);
    if (r == 0)
        r = write_pins(folder, h->root, err);
    if (r == 0)
        r = write_certificate(folder, "aik.pem", h->aik_certificate, true, err);
    if (r == 0)
        r = write_certificate(folder, "aik.der", h->aik_certificate, false, err);
    if (r == 0)
        r = write_key(folder, "root.key", h->root_key, err);
    if (r == 0)
        r = write_key(folder, "intermediate.key", h->intermediate_key, err);
    if (r == 0)
        r = write_key(folder, "aik.key", h->aik, err);
    return r;
}

static void remove_half_made(const char *folder)
{
    static const char *const names[] = {
        "trust/root.pem", "trust/intermediate.pem", "trust/pins", "trust", "aik.pem", "aik.der",
        "root.key",       "intermediate.key",       "aik.key",    "",
    };
    char path[PATH_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (join(path, folder, names[i], NULL) == 0)
            (void)remove(path);
}

static int create(const char *state, const char *folder, enum authority_kind kind,
                  struct error *err)
{
    __attribute__((cleanup(hierarchy_free))) struct hierarchy h = {0};
    char temporary[PATH_MAX];
    int r = join(temporary, state, ".new.XXXXXX", err);

    if (r == 0)
        r = hierarchy_make(&h, kind, err);
    if (r < 0)
        return r;
    if (!mkdtemp(temporary))
        return error_errno(err, errno, "%s", temporary);
    r = hierarchy_write(&h, temporary, err);
    if (r == 0 && chmod(temporary, 0755) < 0)
        r = error_errno(err, errno, "%s", temporary);
    /* Another start may have been first: then its keys are the keys. */
    if (r == 0 && rename(temporary, folder) < 0 && errno != EEXIST && errno != ENOTEMPTY)
        r = error_errno(err, errno, "%s", folder);
    remove_half_made(temporary);
    return r;
}

static int load_key(struct authority *a, const char *folder, struct error *err)
{
    _buffer_ struct buffer text = {0};
    char path[PATH_MAX];
    int r = join(path, folder, "aik.key", err);

    if (r == 0)
        r = read_file(path, FILE_MAX, &text, err);
    if (r < 0)
        return r;
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.size);
    a->aik = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    wipe(text.data, text.size);
    return a->aik ? 0 : openssl_error(err, EBADMSG, "%s: not a private key", path);
}

/* The pin is computed from the root as it is now, so that a state that was mixed up shows. */
static int load_pin(struct authority *a, const char *folder, struct error *err)
{
    _buffer_ struct buffer text = {0};
    _x509_ X509 *root = NULL;
    char path[PATH_MAX];
    int r = join(path, folder, "trust/root.pem", err);

    if (r == 0)
        r = read_file(path, FILE_MAX, &text, err);
    if (r < 0)
        return r;
    r = certificate_parse(&root, buffer_bytes(&text), err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    r = certificate_sha256(root, a->root_pin);
    return r < 0 ? error_errno(err, -r, "%s", path) : 0;
}

int authority_open(struct authority *ret, const char *state, enum authority_kind kind,
                   struct error *err)
{
    _authority_ struct authority a = {.kind = kind};
    char folder[PATH_MAX], path[PATH_MAX];
    int r = join(folder, state, authority_name(kind), err);

    if (r == 0)
        r = join(path, folder, kind == AUTHORITY_RSA ? "aik.der" : "aik.pem", err);
    if (r == 0 && access(folder, F_OK) < 0)
        r = create(state, folder, kind, err);
    if (r == 0)
        r = load_key(&a, folder, err);
    if (r == 0)
        r = load_pin(&a, folder, err);
    if (r == 0)
        r = read_file(path, FILE_MAX, &a.certificate, err);
    if (r < 0)
        return r;
    *ret = a;
    a = (struct authority){0};
    return 0;
}
