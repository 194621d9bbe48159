#include "cli/policy_trust.h"
#include "base/hex.h"
#include "base/io.h"
#include "crypto/pem.h"
#include "crypto/x509.h"

#include <dirent.h>
#include <string.h>

#define PIN_FILE_MAX ((size_t)64 << 10)
#define LIST_FILE_MAX ((size_t)4 << 20) /* a policy must stay below POLICY_FILE_MAX */

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

/* What trust_anchors_load takes from such a folder. */
static const struct {
    const char *suffix;
    const char *label; /* PEM */
    const char *list;  /* member of "trust" */
    size_t max;        /* bytes of a file */
} kinds[] = {
    {".pem", "CERTIFICATE", "certificates", CERTIFICATE_MAX},
    {".crt", "CERTIFICATE", "certificates", CERTIFICATE_MAX},
    {".cer", "CERTIFICATE", "certificates", CERTIFICATE_MAX},
    {".der", "CERTIFICATE", "certificates", CERTIFICATE_MAX},
    {".crl", "X509 CRL", "revocation_lists", LIST_FILE_MAX},
};

static int kind_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (ends_with(name, kinds[i].suffix))
            return (int)i;
    return -1;
}

static int is_wanted(const struct dirent *d)
{
    return kind_of(d->d_name) >= 0;
}

static int add_file(json_t *trust, const char *folder, const char *name, struct error *err)
{
    int kind = kind_of(name);
    _free_ char *path = NULL;
    _buffer_ struct buffer file = {0};
    _buffer_ struct buffer pem = {0};
    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        path = NULL;
        return error_set(err, ENOMEM, "out of memory");
    }
    int r = read_file(path, kinds[kind].max, &file, err);
    if (r == -EFBIG)
        return error_hint(err, r,
                          "make the policy without it, and name the file in it: encroot-policy(5)");
    if (r < 0)
        return r;
    bool text = file.size > 0 && file.data[0] == '-';
    r = text ? buffer_append(&pem, file.data, file.size)
             : pem_encode(kinds[kind].label, buffer_bytes(&file), &pem);
    json_t *value = r == 0 ? json_stringn((const char *)pem.data, pem.size) : NULL;
    if (!value)
        return error_set(err, EBADMSG, "%s: neither PEM nor DER", path);
    json_t *list = json_object_get(trust, kinds[kind].list);
    if (!list) {
        list = json_array();
        json_object_set_new(trust, kinds[kind].list, list);
    }
    json_array_append_new(list, value);
    return 0;
}

static int add_files(json_t *trust, const char *folder, struct error *err)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, is_wanted, alphasort);
    if (n < 0)
        return error_errno(err, errno, "%s", folder);
    int r = 0;
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = add_file(trust, folder, entries[i]->d_name, err);
        free(entries[i]);
    }
    free(entries);
    return r;
}

/* One SHA-256 a line; `#` begins a comment. */
static int add_pins(json_t *trust, const char *path, struct error *err)
{
    uint8_t pin[32];
    _buffer_ struct buffer file = {0};
    json_t *roots = json_array();
    json_object_set_new(trust, "roots", roots);
    int r = read_file(path, PIN_FILE_MAX, &file, err);
    if (r == 0 && buffer_append(&file, "", 1) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    char *rest = r == 0 ? (char *)file.data : NULL;
    for (char *line; r == 0 && (line = strsep(&rest, "\n"));) {
        char *word = strtok_r(line, " \t\r", &line);
        if (!word || word[0] == '#')
            continue;
        word[strcspn(word, "#")] = '\0';
        if (hex_decode(word, pin, sizeof(pin)) < 0)
            return error_set(err, EINVAL, "%s: \"%.80s\" is not 64 hexadecimal digits", path, word);
        json_array_append_new(roots, json_string(word));
    }
    return r;
}

int policy_trust_of(json_t *root, const char *folder, const char *pin_file, struct error *err)
{
    json_t *trust = json_object();
    json_object_set_new(root, "trust", trust);
    int r = add_pins(trust, pin_file, err);
    if (r == 0)
        r = add_files(trust, folder, err);
    return r;
}
