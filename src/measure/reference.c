#include "measure/reference.h"
#include "base/hex.h"
#include "base/json.h"

#include <string.h>

#define NOT_FOUND "NOT_FOUND" /* the sample's word for a file that is not there */
#define KERNELS_MAX 256
#define FILES_MAX 1024
#define CMDLINES_MAX 256
#define COMMANDS_MAX 65536

/* ---- reading ---- */

/* A digest member; absent or NOT_FOUND leaves size 0 where that is allowed. */
static int get_digest(const json_t *object, const char *key, enum hash_alg alg, bool required,
                      struct digest *ret, const char *where, struct error *err)
{
    const json_t *v = json_object_get(object, key);
    if (!required && (!v || (json_is_string(v) && strcmp(json_string_value(v), NOT_FOUND) == 0)))
        return 0;
    struct digest d = {.alg = alg, .size = hash_size(alg)};
    int r = json_get_hex(object, key, d.bytes, d.size, where, err);
    if (r == 0)
        *ret = d;
    return r;
}

static int copy_string(char **ret, const char *s, struct error *err)
{
    *ret = strdup(s);
    return *ret ? 0 : error_set(err, ENOMEM, "out of memory");
}

static int get_text(const json_t *object, const char *key, bool required, char **ret,
                    const char *where, struct error *err)
{
    const char *s;
    if (!required && !json_object_get(object, key))
        return 0;
    int r = json_get_string(object, key, &s, where, err);
    return r < 0 ? r : copy_string(ret, s, err);
}

/* A list of texts; absent leaves NULL. */
static int get_texts(json_t *object, const char *key, size_t max, char ***ret, const char *where,
                     struct error *err)
{
    json_t *list;
    if (!json_object_get(object, key))
        return 0;
    int r = json_get_array(object, key, &list, where, err);
    if (r < 0)
        return r;
    size_t n = json_array_size(list);
    if (n > max)
        return error_set(err, EINVAL, "%s: \"%s\": more than %zu entries", where, key, max);
    *ret = calloc(n + 1, sizeof(**ret));
    if (!*ret)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_string(v))
            return error_set(err, EINVAL, "%s: \"%s\"[%zu] must be a string", where, key, i);
        r = copy_string(&(*ret)[i], json_string_value(v), err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_kernel(struct reference_kernel *k, json_t *j, enum hash_alg alg, const char *where,
                        struct error *err)
{
    const struct {
        const char *key;
        struct digest *digest;
    } digests[] = {
        {"kernel", &k->kernel},
        {"initramfs", &k->initramfs},
        {"kernel_file", &k->kernel_file},
        {"kernel_authenticode", &k->kernel_pe},
    };
    int r = 0;
    if (!json_is_object(j))
        return error_set(err, EINVAL, "%s must be an object", where);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(digests); i++)
        r = get_digest(j, digests[i].key, alg, false, digests[i].digest, where, err);
    return r;
}

static int parse_kernel_texts(struct reference_kernel *k, json_t *j, const char *where,
                              struct error *err)
{
    const struct {
        const char *key;
        char **text;
    } texts[] = {{"path", &k->path}, {"initramfs_path", &k->initramfs_path}};
    int r = get_text(j, "version", true, &k->version, where, err);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++)
        r = get_text(j, texts[i].key, false, texts[i].text, where, err);
    return r < 0 ? r : get_texts(j, "cmdline", CMDLINES_MAX, &k->cmdlines, where, err);
}

static int parse_kernels(struct reference_values *v, json_t *root, const char *name,
                         struct error *err)
{
    json_t *list;
    int r = json_get_array(root, "kernels", &list, name, err);
    if (r < 0)
        return r;
    size_t n = json_array_size(list);
    if (n > KERNELS_MAX)
        return error_set(err, EINVAL, "%s: more than %d kernels", name, KERNELS_MAX);
    v->kernels = calloc(n + 1, sizeof(*v->kernels));
    if (!v->kernels)
        return error_set(err, ENOMEM, "out of memory");
    v->kernel_count = n;
    for (size_t i = 0; r == 0 && i < n; i++) {
        char where[256];
        snprintf(where, sizeof(where), "%s: kernels[%zu]", name, i);
        r = parse_kernel(&v->kernels[i], json_array_get(list, i), v->alg, where, err);
        if (r == 0 && v->alg == HASH_SHA256)
            r = parse_kernel_texts(&v->kernels[i], json_array_get(list, i), where, err);
    }
    return r;
}

/* The digests of "grub_cfgs"; their key has always had the name of the hash. */
static const char *file_key(enum hash_alg alg)
{
    return alg == HASH_SHA384 ? "sha384" : "sha256";
}

static int parse_files(struct reference_values *v, json_t *root, const char *name,
                       struct error *err)
{
    json_t *list;
    if (!json_object_get(root, "grub_cfgs"))
        return 0;
    int r = json_get_array(root, "grub_cfgs", &list, name, err);
    if (r < 0)
        return r;
    size_t n = json_array_size(list);
    if (n > FILES_MAX)
        return error_set(err, EINVAL, "%s: more than %d files in \"grub_cfgs\"", name, FILES_MAX);
    v->grub_cfgs = calloc(n + 1, sizeof(*v->grub_cfgs));
    if (!v->grub_cfgs)
        return error_set(err, ENOMEM, "out of memory");
    v->grub_cfg_count = n;
    for (size_t i = 0; r == 0 && i < n; i++) {
        json_t *j = json_array_get(list, i);
        char where[256];
        snprintf(where, sizeof(where), "%s: grub_cfgs[%zu]", name, i);
        if (!json_is_object(j))
            return error_set(err, EINVAL, "%s must be an object", where);
        if (v->alg == HASH_SHA256)
            r = get_text(j, "path", true, &v->grub_cfgs[i].path, where, err);
        if (r == 0)
            r = get_digest(j, file_key(v->alg), v->alg, true, &v->grub_cfgs[i].digest, where, err);
    }
    return r;
}

/* All that a hash gives, in `v->alg`. */
static int parse_set(struct reference_values *v, json_t *o, const char *name, struct error *err)
{
    int r = get_digest(o, "grub", v->alg, false, &v->grub, name, err);
    if (r == 0)
        r = get_digest(o, "grub.cfg", v->alg, false, &v->grub_cfg, name, err);
    if (r == 0)
        r = get_digest(o, "shim", v->alg, false, &v->shim, name, err);
    if (r == 0)
        r = parse_kernels(v, o, name, err);
    return r < 0 ? r : parse_files(v, o, name, err);
}

/* The texts of `v`, which stay its own. */
static void borrow_texts(struct reference_values *to, const struct reference_values *v)
{
    for (size_t i = 0; i < v->kernel_count; i++) {
        to->kernels[i].version = v->kernels[i].version;
        to->kernels[i].path = v->kernels[i].path;
        to->kernels[i].initramfs_path = v->kernels[i].initramfs_path;
        to->kernels[i].cmdlines = v->kernels[i].cmdlines;
    }
    for (size_t i = 0; i < v->grub_cfg_count; i++)
        to->grub_cfgs[i].path = v->grub_cfgs[i].path;
    to->grub_commands = v->grub_commands;
}

static int parse_sha384(struct reference_values *v, json_t *root, const char *name,
                        struct error *err)
{
    char where[256];
    json_t *o = json_object_get(root, "sha-384");
    if (!o)
        return 0;
    snprintf(where, sizeof(where), "%s: sha-384", name);
    if (!json_is_object(o))
        return error_set(err, EINVAL, "%s must be an object", where);
    struct reference_values *other = v->sha384 = calloc(1, sizeof(*other));
    if (!other)
        return error_set(err, ENOMEM, "out of memory");
    other->alg = HASH_SHA384;
    int r = parse_set(other, o, where, err);
    if (r < 0)
        return r;
    if (other->kernel_count != v->kernel_count || other->grub_cfg_count != v->grub_cfg_count)
        return error_set(err, EINVAL,
                         "%s has %zu kernels and %zu configuration files, %s itself %zu and %zu",
                         where, other->kernel_count, other->grub_cfg_count, name, v->kernel_count,
                         v->grub_cfg_count);
    borrow_texts(other, v);
    return 0;
}

static int parse_root(struct reference_values *v, json_t *root, const char *name, struct error *err)
{
    const char *alg;
    if (!json_is_object(root))
        return error_set(err, EINVAL, "%s: not a JSON object", name);
    int r = json_get_string(root, "hash_alg", &alg, name, err);
    if (r < 0)
        return r;
    v->alg = hash_by_name(alg);
    /* The sample's keys are in SHA-256; other hashes have members of their own. */
    if (v->alg != HASH_SHA256)
        return error_set(err, EINVAL, "%s: \"hash_alg\" must be \"sha-256\", found \"%s\"", name,
                         alg);
    r = parse_set(v, root, name, err);
    if (r == 0)
        r = get_texts(root, "grub_commands", COMMANDS_MAX, &v->grub_commands, name, err);
    return r < 0 ? r : parse_sha384(v, root, name, err);
}

int reference_values_parse(struct reference_values *ret, struct bytes json, const char *name,
                           struct error *err)
{
    _json_ json_t *root = NULL;
    _reference_values_ struct reference_values v = {0};
    int r = json_parse(&root, json, name, err);
    if (r == 0)
        r = parse_root(&v, root, name, err);
    if (r < 0)
        return error_hint(err, r, "make reference values with: encroot image measure -i IMAGE");
    *ret = v;
    v = (struct reference_values){0};
    return 0;
}

/* ---- writing ---- */

/* Collects the first failure of the setters below, so that a writer checks once. */
static void put(json_t *object, const char *key, json_t *value, bool *failed)
{
    *failed |= json_object_set_new(object, key, value) < 0;
}

static void put_digest(json_t *object, const char *key, const struct digest *d, bool *failed)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(d, hex);
    put(object, key, json_string(d->size ? hex : NOT_FOUND), failed);
}

static void put_known_digest(json_t *object, const char *key, const struct digest *d, bool *failed)
{
    if (d->size)
        put_digest(object, key, d, failed);
}

static void put_known_text(json_t *object, const char *key, const char *text, bool *failed)
{
    if (text)
        put(object, key, json_string(text), failed);
}

static void put_known_texts(json_t *object, const char *key, char *const *texts, bool *failed)
{
    if (!texts)
        return;
    json_t *list = json_array();
    for (size_t i = 0; texts[i]; i++)
        *failed |= json_array_append_new(list, json_string(texts[i])) < 0;
    put(object, key, list, failed);
}

static json_t *format_kernel(const struct reference_kernel *k, bool texts, bool *failed)
{
    json_t *j = json_object();
    if (texts)
        put(j, "version", json_string(k->version ? k->version : ""), failed);
    put_digest(j, "kernel", &k->kernel, failed);
    put_digest(j, "initramfs", &k->initramfs, failed);
    put_known_digest(j, "kernel_file", &k->kernel_file, failed);
    put_known_digest(j, "kernel_authenticode", &k->kernel_pe, failed);
    if (!texts)
        return j;
    put_known_text(j, "path", k->path, failed);
    put_known_text(j, "initramfs_path", k->initramfs_path, failed);
    put_known_texts(j, "cmdline", k->cmdlines, failed);
    return j;
}

static void put_files(json_t *root, const struct reference_values *v, bool texts, bool *failed)
{
    if (v->grub_cfg_count == 0)
        return;
    json_t *files = json_array();
    for (size_t i = 0; i < v->grub_cfg_count; i++) {
        json_t *file = json_object();
        if (texts)
            put(file, "path", json_string(v->grub_cfgs[i].path), failed);
        put_digest(file, file_key(v->alg), &v->grub_cfgs[i].digest, failed);
        *failed |= json_array_append_new(files, file) < 0;
    }
    put(root, "grub_cfgs", files, failed);
}

static json_t *format_set(const struct reference_values *v, bool texts, bool *failed)
{
    json_t *root = json_object();
    json_t *kernels = json_array();
    put_digest(root, "grub", &v->grub, failed);
    put_digest(root, "grub.cfg", &v->grub_cfg, failed);
    for (size_t i = 0; i < v->kernel_count; i++)
        *failed |= json_array_append_new(kernels, format_kernel(&v->kernels[i], texts, failed)) < 0;
    put(root, "kernels", kernels, failed);
    if (texts)
        put(root, "hash_alg", json_string(hash_name(v->alg)), failed);
    put_known_digest(root, "shim", &v->shim, failed);
    put_files(root, v, texts, failed);
    return root;
}

static json_t *format_root(const struct reference_values *v, bool *failed)
{
    json_t *root = format_set(v, true, failed);
    put_known_texts(root, "grub_commands", v->grub_commands, failed);
    if (v->sha384)
        put(root, "sha-384", format_set(v->sha384, false, failed), failed);
    return root;
}

int reference_values_format(const struct reference_values *v, struct buffer *ret, struct error *err)
{
    if (v->alg != HASH_SHA256)
        return error_set(err, EINVAL, "reference values: sha-256 must be among them");
    bool failed = false;
    _json_ json_t *root = format_root(v, &failed);
    /* Order of insertion is kept (jansson >= 2.8), so the same values give the same bytes. */
    _free_ char *text = failed ? NULL : json_dumps(root, JSON_INDENT(2));
    if (!text)
        return error_set(err, EINVAL, "reference values: text that is not UTF-8, or no memory");
    int r = buffer_printf(ret, "%s\n", text);
    return r < 0 ? error_set(err, -r, "reference values: too large") : 0;
}

static void free_texts(char **texts)
{
    for (size_t i = 0; texts && texts[i]; i++)
        free(texts[i]);
    free(texts);
}

static void free_kernel(struct reference_kernel *k)
{
    free_texts(k->cmdlines);
    free(k->version);
    free(k->path);
    free(k->initramfs_path);
}

const struct reference_values *reference_values_in(const struct reference_values *v,
                                                   enum hash_alg alg)
{
    return v->alg == alg ? v : v->sha384 && v->sha384->alg == alg ? v->sha384 : NULL;
}

void reference_values_free(struct reference_values *v)
{
    for (size_t i = 0; i < v->kernel_count; i++)
        free_kernel(&v->kernels[i]);
    for (size_t i = 0; i < v->grub_cfg_count; i++)
        free(v->grub_cfgs[i].path);
    free_texts(v->grub_commands);
    free(v->kernels);
    free(v->grub_cfgs);
    if (v->sha384) {
        free(v->sha384->kernels);
        free(v->sha384->grub_cfgs);
    }
    free(v->sha384);
    *v = (struct reference_values){0};
}
