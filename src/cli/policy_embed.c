#include "cli/policy_embed.h"
#include "appraise/policy.h"
#include "base/hex.h"
#include "base/io.h"
#include "cli/policy_load.h"
#include "crypto/crl.h"
#include "crypto/pem.h"

#include <libgen.h>
#include <string.h>

#define REFERENCE_FILE_MAX ((size_t)4 << 20)
#define PEM_BEGIN "-----BEGIN "

struct embedding {
    const char *name, *folder; /* of the policy */
    struct error *err;
};

static int no_memory(const struct embedding *e)
{
    return error_set(e->err, ENOMEM, "out of memory");
}

static int read_named(const struct embedding *e, const char *file, size_t max, struct buffer *ret)
{
    _free_ char *path = NULL;
    bool absolute = file[0] == '/';
    if (asprintf(&path, "%s%s%s", absolute ? "" : e->folder, absolute ? "" : "/", file) < 0) {
        path = NULL;
        return no_memory(e);
    }
    int r = read_file(path, max, ret, e->err);
    return r < 0 ? error_prefix(e->err, r, "%s", e->name) : 0;
}

/* PEM from its first line on, whatever text stands above it; or DER as PEM. */
static json_t *pem_json(const char *label, struct bytes file)
{
    const char *begin = memmem(file.data, file.size, PEM_BEGIN, strlen(PEM_BEGIN));
    if (begin)
        return json_stringn(begin, file.size - (size_t)(begin - (const char *)file.data));
    _buffer_ struct buffer pem = {0};
    if (pem_encode(label, file, &pem) < 0)
        return NULL;
    return json_stringn((const char *)pem.data, pem.size);
}

struct kind {
    const char *list;  /* member */
    const char *label; /* PEM; NULL: JSON */
    size_t max;        /* bytes of a file */
};

static int content_of(const struct embedding *e, const struct kind *k, const char *file,
                      json_t **ret)
{
    _buffer_ struct buffer content = {0};
    int r = read_named(e, file, k->max, &content);
    if (r == 0 && !k->label)
        return json_parse(ret, buffer_bytes(&content), file, e->err);
    if (r < 0)
        return r;
    *ret = pem_json(k->label, buffer_bytes(&content));
    return *ret ? 0 : error_set(e->err, EBADMSG, "%s: %s: neither PEM nor DER", e->name, file);
}

/* What is no name of a file stays for policy_parse to judge. */
static int embed_list(const struct embedding *e, const struct kind *k, const json_t *object)
{
    size_t i;
    json_t *item, *list = json_object_get(object, k->list);
    json_array_foreach(list, i, item)
    {
        json_t *content;
        const char *file = json_string_value(item);
        if (!file || (k->label && strncmp(file, PEM_BEGIN, strlen(PEM_BEGIN)) == 0))
            continue;
        int r = content_of(e, k, file, &content);
        if (r < 0)
            return r;
        if (json_array_set_new(list, i, content) < 0)
            return no_memory(e);
    }
    return 0;
}

static int embed(const struct embedding *e, const json_t *root)
{
    static const struct kind certificates = {"certificates", "CERTIFICATE", CERTIFICATE_MAX};
    static const struct kind revocations = {"revocation_lists", "X509 CRL", POLICY_FILE_MAX};
    static const struct kind boot = {"boot", NULL, REFERENCE_FILE_MAX};
    const json_t *trust = json_object_get(root, "trust");
    int r = embed_list(e, &certificates, trust);
    if (r == 0)
        r = embed_list(e, &revocations, trust);
    return r < 0 ? r : embed_list(e, &boot, root);
}

int policy_embedded_check(const json_t *policy, const char *uuid, const char *name,
                          struct error *err)
{
    _policy_ struct policy *parsed = NULL;
    _free_ char *text = json_dumps(policy, JSON_COMPACT);
    if (!text)
        return error_set(err, ENOMEM, "out of memory");
    if (strlen(text) > POLICY_FILE_MAX)
        return error_hint(err,
                          error_set(err, EFBIG,
                                    "%s: with all that it names it has more than %zu "
                                    "MiB",
                                    name, POLICY_FILE_MAX >> 20),
                          "a broker keeps a policy as one text; leave out what is not needed");
    int r = policy_parse(&parsed, BYTES_STR(text), name, NULL, err);
    if (r == 0)
        r = policy_refuse_plain(parsed, name, err);
    uint8_t wanted[16];
    if (r < 0 || !uuid || !parsed->appraisal.volume || uuid_parse(uuid, wanted) < 0 ||
        memcmp(parsed->appraisal.volume, wanted, sizeof(wanted)) == 0)
        return r;
    char found[UUID_TEXT_SIZE];
    uuid_format(parsed->appraisal.volume, found);
    return error_hint(err,
                      error_set(err, EINVAL, "%s: is for volume %s, not for %s", name, found, uuid),
                      "without the member \"volume\" a policy is for whatever volume has it");
}

int policy_embed(json_t **ret, const char *path, struct error *err)
{
    _json_ json_t *root = NULL;
    _buffer_ struct buffer text = {0};
    _free_ char *copy = strdup(path);
    if (!copy)
        return error_set(err, ENOMEM, "out of memory");
    struct embedding e = {.name = path, .folder = dirname(copy), .err = err};
    int r = read_file(path, POLICY_FILE_MAX, &text, err);
    if (r == 0)
        r = json_parse(&root, buffer_bytes(&text), path, err);
    if (r == 0)
        r = embed(&e, root);
    if (r == 0)
        r = policy_embedded_check(root, NULL, path, err);
    if (r == 0)
        *ret = TAKE_PTR(root);
    return r;
}
