#include "crypto/x509.h"
#include "base/hex.h"
#include "base/io.h"
#include "crypto/openssl_error.h"

#include <openssl/x509_vfy.h>
#include <dirent.h>
#include <string.h>

/*
 * Trust is in `roots` alone, and only a pinned certificate gets there; whatever else is known
 * helps to find a path and is believed nothing.
 */
struct trust_anchors {
    X509_STORE *roots;
    STACK_OF(X509) * intermediates;
    size_t root_count;
};

int trust_anchors_new(struct trust_anchors **ret, struct error *err)
{
    struct trust_anchors *a = calloc(1, sizeof(*a));
    if (a) {
        a->roots = X509_STORE_new();
        a->intermediates = sk_X509_new_null();
    }
    if (!a || !a->roots || !a->intermediates) {
        trust_anchors_free(a);
        return error_set(err, ENOMEM, "no memory for trust anchors");
    }
    *ret = a;
    return 0;
}

void trust_anchors_free(struct trust_anchors *a)
{
    if (!a)
        return;
    X509_STORE_free(a->roots);
    sk_X509_pop_free(a->intermediates, X509_free);
    free(a);
}

static int add(struct trust_anchors *a, X509 *c, bool pinned, struct error *err)
{
    bool self_signed = X509_self_signed(c, 1) == 1;
    if (pinned && !self_signed)
        return openssl_error(err, EINVAL, "a pinned root must be self-signed");
    if (pinned) {
        if (X509_STORE_add_cert(a->roots, c) != 1)
            return openssl_error(err, ENOMEM, "adding a root");
        a->root_count++;
        return 0;
    }
    if (self_signed)
        return 0;
    if (X509_up_ref(c) != 1)
        return error_set(err, ENOMEM, "adding an intermediate");
    if (sk_X509_push(a->intermediates, c) <= 0) {
        X509_free(c);
        return error_set(err, ENOMEM, "adding an intermediate");
    }
    return 0;
}

int trust_anchors_add(struct trust_anchors *a, struct bytes certificate, bool pinned_root,
                      struct error *err)
{
    _x509_ X509 *c = NULL;
    int r = certificate_parse(&c, certificate, err);
    return r < 0 ? r : add(a, c, pinned_root, err);
}

/* ---- from a folder ---- */

#define PINS_MAX 64
#define PIN_FILE_MAX ((size_t)64 << 10)

struct pins {
    uint8_t list[PINS_MAX][32];
    size_t count;
};

static int parse_pin_line(struct pins *p, char *line, struct error *err)
{
    line[strcspn(line, "#\r")] = '\0';
    line += strspn(line, " \t");
    size_t n = strlen(line);
    while (n > 0 && strchr(" \t", line[n - 1]))
        line[--n] = '\0';
    if (n == 0)
        return 0;
    if (p->count == PINS_MAX)
        return error_set(err, E2BIG, "more than %d pins", PINS_MAX);
    if (hex_decode(line, p->list[p->count], 32) < 0)
        return error_hint(err,
                          error_set(err, EINVAL, "\"%.80s\" is not 64 hexadecimal digits", line),
                          "a pin is the SHA-256 of a root certificate: openssl x509 -in FILE "
                          "-outform DER | sha256sum");
    p->count++;
    return 0;
}

static int read_pins(struct pins *p, const char *path, struct error *err)
{
    _buffer_ struct buffer text = {0};
    int r = read_file(path, PIN_FILE_MAX, &text, err);
    if (r < 0)
        return r;
    if (memchr(text.data ? text.data : (const uint8_t *)"", 0, text.size))
        return error_set(err, EINVAL, "%s: not a text file", path);
    r = buffer_append(&text, "", 1);
    if (r < 0)
        return error_errno(err, -r, "%s", path);
    size_t number = 0;
    char *rest = (char *)text.data, *line;
    while ((line = strsep(&rest, "\n"))) {
        number++;
        r = parse_pin_line(p, line, err);
        if (r < 0)
            return error_prefix(err, r, "%s: line %zu", path, number);
    }
    if (p->count == 0)
        return error_hint(err, error_set(err, ENOENT, "%s: no root is pinned", path),
                          "put the SHA-256 of each root certificate that you trust on a line of "
                          "its own");
    return 0;
}

static bool is_pinned(const struct pins *p, const X509 *c)
{
    uint8_t sha256[32];
    if (certificate_sha256(c, sha256) < 0)
        return false;
    for (size_t i = 0; i < p->count; i++)
        if (memcmp(p->list[i], sha256, sizeof(sha256)) == 0)
            return true;
    return false;
}

static int is_certificate_file(const struct dirent *d)
{
    static const char *const suffixes[] = {".pem", ".crt", ".cer", ".der"};
    size_t n = strlen(d->d_name);
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
        if (n > 4 && strcmp(d->d_name + n - 4, suffixes[i]) == 0)
            return d->d_type == DT_REG || d->d_type == DT_LNK || d->d_type == DT_UNKNOWN;
    return 0;
}

static int load_file(struct trust_anchors *a, const char *folder, const char *name,
                     const struct pins *pins, struct error *err)
{
    _buffer_ struct buffer path = {0};
    _buffer_ struct buffer content = {0};
    _x509_ X509 *c = NULL;
    int r = buffer_printf(&path, "%s/%s%c", folder, name, 0);
    if (r < 0)
        return error_errno(err, -r, "%s", folder);
    r = read_file((const char *)path.data, CERTIFICATE_MAX, &content, err);
    if (r < 0)
        return r;
    r = certificate_parse(&c, buffer_bytes(&content), err);
    if (r == 0)
        r = add(a, c, X509_self_signed(c, 1) == 1 && is_pinned(pins, c), err);
    return r < 0 ? error_prefix(err, r, "%s", (const char *)path.data) : 0;
}

static int load_folder(struct trust_anchors *a, const char *folder, const struct pins *pins,
                       struct error *err)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, is_certificate_file, alphasort);
    if (n < 0)
        return error_errno(err, errno, "%s", folder);
    int r = 0;
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = load_file(a, folder, entries[i]->d_name, pins, err);
        free(entries[i]);
    }
    free(entries);
    return r;
}

int trust_anchors_load(struct trust_anchors **ret, const char *folder, const char *pin_file,
                       struct error *err)
{
    struct pins pins = {.count = 0};
    _trust_anchors_ struct trust_anchors *a = NULL;
    int r = trust_anchors_new(&a, err);
    if (r == 0)
        r = read_pins(&pins, pin_file, err);
    if (r == 0)
        r = load_folder(a, folder, &pins, err);
    if (r < 0)
        return error_prefix(err, r, "trust anchors");
    if (a->root_count == 0) {
        r = error_set(err, ENOENT, "trust anchors: %s has none of the roots pinned in %s", folder,
                      pin_file);
        return error_hint(err, r, "install the platform vendor's root certificate there");
    }
    *ret = TAKE_PTR(a);
    return 0;
}

/* ---- chains ---- */

/* 112 bits: RSA from 2048 bits, no SHA-1 (SSL_CTX_set_security_level(3) has the table). */
#define SECURITY_LEVEL 2

static int verify(X509_STORE_CTX *ctx, X509 *leaf, const struct trust_anchors *a, struct error *err)
{
    if (X509_STORE_CTX_init(ctx, a->roots, leaf, a->intermediates) != 1)
        return openssl_error(err, ENOMEM, "certificate chain");
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    /*
     * No dates (DESIGN: the caller's policy judges those), and no X509_V_FLAG_PARTIAL_CHAIN, so
     * that a path ends at a pinned root or nowhere. Not X509_V_FLAG_X509_STRICT: beyond what is
     * always checked (CA flag of intermediates, path length, keyCertSign, critical extensions)
     * it asks for the form of vendors' roots, and those are pinned by their hash.
     */
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_NO_CHECK_TIME);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    if (X509_verify_cert(ctx) != 1) {
        int reason = X509_STORE_CTX_get_error(ctx);
        return openssl_error(err, EKEYREJECTED, "%s (certificate %d of the chain)",
                             X509_verify_cert_error_string(reason),
                             X509_STORE_CTX_get_error_depth(ctx));
    }
    if (sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) < 2)
        return error_set(err, EKEYREJECTED, "the certificate is itself a root");
    return 0;
}

int certificate_verify_chain(X509 *leaf, const struct trust_anchors *a, struct error *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (!ctx)
        return error_set(err, ENOMEM, "certificate chain");
    int r = verify(ctx, leaf, a, err);
    X509_STORE_CTX_free(ctx);
    return r;
}
