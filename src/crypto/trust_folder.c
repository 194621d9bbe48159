/* Trust anchors from a folder and a list of pins: what `encroot init` makes. */
#include "crypto/x509.h"
#include "base/hex.h"
#include "base/io.h"
#include "crypto/crl.h"
#include "crypto/trust_anchors.h"

#include <dirent.h>
#include <string.h>

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

static bool has_suffix(const struct dirent *d, const char *const *suffixes, size_t count)
{
    size_t n = strlen(d->d_name);
    for (size_t i = 0; i < count; i++)
        if (n > 4 && strcmp(d->d_name + n - 4, suffixes[i]) == 0)
            return d->d_type == DT_REG || d->d_type == DT_LNK || d->d_type == DT_UNKNOWN;
    return false;
}

static int is_certificate(const struct dirent *d)
{
    static const char *const suffixes[] = {".pem", ".crt", ".cer", ".der"};
    return has_suffix(d, suffixes, ARRAY_SIZE(suffixes));
}

static int is_list(const struct dirent *d)
{
    static const char *const suffixes[] = {".crl"};
    return has_suffix(d, suffixes, ARRAY_SIZE(suffixes));
}

static int load_certificate(struct trust_anchors *a, struct bytes content, const struct pins *pins,
                            struct error *err)
{
    _x509_ X509 *c = NULL;
    int r = certificate_parse(&c, content, err);
    if (r == 0)
        r = trust_anchors_add_parsed(a, c, X509_self_signed(c, 1) == 1 && is_pinned(pins, c), err);
    return r;
}

static int load_list(struct trust_anchors *a, struct bytes content, const struct pins *pins,
                     struct error *err)
{
    (void)pins;
    return trust_anchors_add_crl(a, content, err);
}

/* In this order: a list is believed only when its authority is known. */
static const struct kind {
    int (*is)(const struct dirent *d);
    size_t max;
    int (*load)(struct trust_anchors *a, struct bytes content, const struct pins *pins,
                struct error *err);
} kinds[] = {
    {is_certificate, CERTIFICATE_MAX, load_certificate},
    {is_list, CRL_MAX, load_list},
};

static int load_file(struct trust_anchors *a, const struct kind *k, const char *folder,
                     const char *name, const struct pins *pins, struct error *err)
{
    _buffer_ struct buffer path = {0};
    _buffer_ struct buffer content = {0};
    int r = buffer_printf(&path, "%s/%s%c", folder, name, 0);
    if (r < 0)
        return error_errno(err, -r, "%s", folder);
    r = read_file((const char *)path.data, k->max, &content, err);
    if (r < 0)
        return r;
    r = k->load(a, buffer_bytes(&content), pins, err);
    return r < 0 ? error_prefix(err, r, "%s", (const char *)path.data) : 0;
}

static int load_kind(struct trust_anchors *a, const struct kind *k, const char *folder,
                     const struct pins *pins, struct error *err)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, k->is, alphasort);
    if (n < 0)
        return error_errno(err, errno, "%s", folder);
    int r = 0;
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = load_file(a, k, folder, entries[i]->d_name, pins, err);
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
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++)
        r = load_kind(a, &kinds[i], folder, &pins, err);
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
