/*
 * `encroot init DIR`: checks what is there, makes what is missing, overwrites nothing.
 */
#include "base/hex.h"
#include "base/io.h"
#include "base/secret.h"
#include "cli/command.h"
#include "cli/encrootd_conf.h"
#include "cli/options.h"
#include "cli/paths.h"
#include "crypto/crl.h"
#include "crypto/digest.h"
#include "crypto/tls.h"
#include "crypto/volume_key.h"
#include "crypto/x509.h"
#include "vault/kek.h"

#include <jansson.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>

static const char pins_header[] =
    "# SHA-256 of the root certificates that evidence may end in, one a line (64 hex digits).\n"
    "# The certificates themselves are in certificates/. `encroot init DIR --trust FILE` adds "
    "both.\n";

/* What was done, for people as it happens and for programs at the end. */
struct report {
    bool json;
    json_t *made;
    json_t *kept;
};

static void tell(const struct report *r, bool made, const char *path, const char *what)
{
    json_array_append_new(made ? r->made : r->kept, json_string(path));
    if (!r->json)
        printf("%-8s %s  (%s)\n", made ? "made" : "found", path, what);
}

static int make_folder(const char *path, mode_t mode, const char *what, const struct report *r,
                       struct error *err)
{
    struct stat st;
    if (mkdir(path, mode) == 0) {
        tell(r, true, path, what);
        return 0;
    }
    if (errno != EEXIST)
        return error_errno(err, errno, "%s", path);
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return error_set(err, ENOTDIR, "%s: expected a folder, found something else", path);
    tell(r, false, path, what);
    return 0;
}

static int make_identity(const struct paths *p, const struct report *r, struct error *err)
{
    bool key = access(p->broker_key, F_OK) == 0;
    bool certificate = access(p->broker_cert, F_OK) == 0;
    if (key != certificate)
        return error_hint(err,
                          error_set(err, EINVAL, "%s is there, but %s is not",
                                    key ? p->broker_key : p->broker_cert,
                                    key ? p->broker_cert : p->broker_key),
                          "restore the missing one; images pin this key, a new one opens none");
    int n = key ? 0 : tls_identity_create(p->broker_key, p->broker_cert, err);
    _tls_identity_ struct tls_identity *id = NULL;
    if (n == 0)
        n = tls_identity_load(&id, p->broker_key, p->broker_cert, err);
    if (n < 0)
        return n;
    tell(r, !key, p->broker_key, "the broker's private key: keep it secret");
    tell(r, !key, p->broker_cert, "its certificate: images pin its key");
    return 0;
}

static int make_secret(const struct paths *p, const struct report *r, struct error *err)
{
    _secret_ struct secret *s = NULL;
    if (access(p->rootfs_key, F_OK) == 0) {
        int n = secret_read_file(&s, p->rootfs_key, VOLUME_SECRET_SIZE, true, err);
        if (n == 0)
            tell(r, false, p->rootfs_key, "the volume secret");
        return n;
    }
    s = secret_random(VOLUME_SECRET_SIZE);
    if (!s)
        return error_set(err, ENOMEM, "cannot lock memory for a key");
    int n = secret_write_file(s, p->rootfs_key, err);
    if (n == 0)
        tell(r, true, p->rootfs_key, "the volume secret: keep it secret, and a copy of it safe");
    return n;
}

static int make_pins(const struct paths *p, const struct report *r, struct error *err)
{
    int n = write_file_atomic(p->trust_pins, BYTES_STR(pins_header), 0644, false, NULL);
    if (n < 0 && n != -EEXIST)
        return error_errno(err, -n, "%s", p->trust_pins);
    tell(r, n == 0, p->trust_pins, "which roots are trusted");
    return 0;
}

/*
 * Beside a store a new key would open nothing, and hide that the old one is missing; it may also be
 * in a token, and no file at all.
 */
static int make_kek(const struct paths *p, const struct report *r, struct error *err)
{
    _secret_ struct secret *s = NULL;
    bool there = access(p->vault_kek, F_OK) == 0;
    if (!there && access(p->broker_store, F_OK) == 0) {
        if (!r->json)
            printf("not made %s  (%s is there: its secrets are wrapped under a key that exists)\n",
                   p->vault_kek, p->broker_store);
        return 0;
    }
    int n = there ? secret_read_file(&s, p->vault_kek, KEK_SIZE, true, err)
                  : kek_create_file(p->vault_kek, err);
    if (n == 0)
        tell(r, !there, p->vault_kek, "the key of the broker's store: keep a copy of it safe");
    return n;
}

static int make_conf(const struct paths *p, const struct report *r, struct error *err)
{
    bool there = name_is_taken(p->broker_conf);
    int n =
        there ? 0 : write_file_atomic(p->broker_conf, BYTES_STR(encrootd_conf), 0644, false, err);
    if (n == 0)
        tell(r, !there, p->broker_conf, "the configuration of encrootd");
    return n;
}

/* ---- --trust FILE ---- */
/* Whether a line begins with it: in a comment it pins nothing. */
static bool is_pinned(const struct buffer *pins, const char *hex)
{
    for (const char *line = (const char *)pins->data; *line;) {
        line += strspn(line, " \t");
        if (strncasecmp(line, hex, strlen(hex)) == 0)
            return true;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    return false;
}

static int pin_root(const struct paths *p, const char *hex, struct error *err)
{
    _buffer_ struct buffer pins = {0};
    int n = read_file(p->trust_pins, (size_t)1 << 20, &pins, err);
    if (n < 0)
        return n;
    if (is_pinned(&pins, hex))
        return 0;
    bool whole_line = pins.size == 0 || pins.data[pins.size - 1] == '\n';
    n = buffer_printf(&pins, "%s%s\n", whole_line ? "" : "\n", hex);
    if (n < 0)
        return error_set(err, ENOMEM, "out of memory");
    return write_file_atomic(p->trust_pins, buffer_bytes(&pins), 0644, true, err);
}

/* Named by its content: the same file twice is one, two with one name are two. */
static int copy_trusted(const struct paths *p, struct bytes text, const uint8_t sha256[32],
                        const char *suffix, const char *what, const struct report *r,
                        struct error *err)
{
    _free_ char *copy = NULL;
    char hex[65];
    hex_encode(BYTES(sha256, 32), hex);
    if (asprintf(&copy, "%s/%.16s.%s", p->trust_folder, hex, suffix) < 0)
        return error_set(err, ENOMEM, "out of memory");
    bool there = access(copy, F_OK) == 0;
    int n = there ? 0 : write_file_atomic(copy, text, 0644, false, err);
    if (n == 0)
        tell(r, !there, copy, what);
    return n;
}

static int trust_certificate(const struct paths *p, struct bytes text, const struct report *r,
                             struct error *err)
{
    _buffer_ struct buffer subject = {0};
    _x509_ X509 *certificate = NULL;
    uint8_t sha[32];
    char hex[65];
    int n = certificate_parse(&certificate, text, err);
    if (n < 0)
        return n;
    if (certificate_sha256(certificate, sha) < 0 || certificate_subject(certificate, &subject) < 0)
        return error_set(err, EIO, "cannot hash it");
    bool root = X509_self_signed(certificate, 1) == 1;
    hex_encode(BYTES_OF(sha), hex);
    n = copy_trusted(p, text, sha, "crt", root ? "pinned root" : "intermediate", r, err);
    if (n == 0 && root)
        n = pin_root(p, hex, err);
    if (n == 0 && !r->json)
        printf("         %.*s\n         SHA-256 %s\n", (int)subject.size, (char *)subject.data,
               hex);
    return n;
}

/* What could not be loaded again must not get in: the anchors that are there judge it. */
static int trust_list(const struct paths *p, struct bytes text, const struct report *r,
                      struct error *err)
{
    _trust_anchors_ struct trust_anchors *anchors = NULL;
    struct digest sha;
    int n = trust_anchors_load(&anchors, p->trust_folder, p->trust_pins, err);
    if (n == 0)
        n = trust_anchors_add_crl(anchors, text, err);
    if (n == 0 && digest_compute(&sha, HASH_SHA256, text) < 0)
        n = error_set(err, EIO, "cannot hash it");
    return n < 0 ? n : copy_trusted(p, text, sha.bytes, "crl", "revocation list", r, err);
}

static bool is_list(const char *file, struct bytes text)
{
    _crl_ X509_CRL *crl = NULL;
    size_t n = strlen(file);
    return (n > 4 && strcmp(file + n - 4, ".crl") == 0) || crl_parse(&crl, text, NULL) == 0;
}

static int trust(const struct paths *p, const char *file, const struct report *r, struct error *err)
{
    _buffer_ struct buffer text = {0};
    int n = read_file(file, CRL_MAX, &text, err);
    if (n < 0)
        return n;
    n = is_list(file, buffer_bytes(&text)) ? trust_list(p, buffer_bytes(&text), r, err)
                                           : trust_certificate(p, buffer_bytes(&text), r, err);
    return n < 0 ? error_prefix(err, n, "%s", file) : 0;
}

/* ---- the command ---- */
static int run(const struct paths *p, const struct option_list *certificates, struct report *r,
               struct error *err)
{
    int n = make_folder(p->folder, 0700, "everything that `encroot` keeps", r, err);
    if (n == 0)
        n = make_identity(p, r, err);
    if (n == 0)
        n = make_secret(p, r, err);
    if (n == 0)
        n = make_folder(p->trust, 0755, "trust anchors", r, err);
    if (n == 0)
        n = make_folder(p->trust_folder, 0755, "certificates of the platforms' vendors", r, err);
    if (n == 0)
        n = make_pins(p, r, err);
    if (n == 0)
        n = make_kek(p, r, err);
    if (n == 0)
        n = make_conf(p, r, err);
    for (size_t i = 0; n == 0 && i < certificates->count; i++)
        n = trust(p, certificates->items[i], r, err);
    return n;
}

int cmd_init(int argc, char **argv)
{
    struct report r = {0};
    struct option_list certificates = {0};
    const struct option_spec options[] = {
        {0, "trust", OPTION_LIST, "FILE",
         "copy a certificate or a revocation list (PEM or DER) to\n"
         "the trust anchors; a self-signed certificate is pinned as\n"
         "a root, a list must be of an authority that is there\n"
         "(may be repeated, and is done in order)",
         &certificates, 0, 0},
        {0, "json", OPTION_FLAG, NULL, "print what was done as JSON", &r.json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot init DIR [--trust FILE]... [--json]",
        .about = "Prepare a folder for encrypting and unlocking images: the broker's identity\n"
                 "(broker.key, broker.crt), the volume secret (rootfs_key.bin), and the trust\n"
                 "anchors (trust/); and for encrootd the key of its store (vault.kek) and a\n"
                 "configuration (encrootd.conf). What is there already is checked and kept, never\n"
                 "overwritten.",
        .options = options,
        .example = "  encroot init keys --trust huawei-root.pem --trust huawei-intermediate.pem",
    };
    int first;
    int code = options_parse(&u, argc, argv, &first);
    if (code != OPTIONS_DONE)
        return code;
    if (argc - first != 1)
        return usage_error(&u, "expected one folder, found %d", argc - first);
    struct error err = {0};
    _cleanup_(paths_free) struct paths p = {0};
    r.made = json_array();
    r.kept = json_array();
    int n = paths_of(&p, argv[first], &err);
    if (n == 0)
        n = run(&p, &certificates, &r, &err);
    if (n == 0 && r.json) {
        json_t *o = json_pack("{s:O, s:O}", "made", r.made, "found", r.kept);
        json_dumpf(o, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(o);
    }
    json_decref(r.made);
    json_decref(r.kept);
    return n < 0 ? report_error(&err, exit_code_for(n), r.json) : EXIT_OK;
}
