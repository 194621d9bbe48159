#include "image/predict.h"
#include "image/grubcommands.h"
#include "image/text.h"
#include "measure/kernel.h"
#include "measure/pe.h"

#include <string.h>

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

static int hash(struct digest *ret, enum hash_alg alg, struct bytes in, struct error *err)
{
    int r = digest_compute(ret, alg, in);
    return r < 0 ? error_set(err, -r, "hashing failed") : 0;
}

/* Everything is predicted in SHA-256 and, beside it, in SHA-384. */
static int begin(struct reference_values *v, struct error *err)
{
    v->alg = HASH_SHA256;
    v->sha384 = calloc(1, sizeof(*v->sha384));
    if (!v->sha384)
        return no_memory(err);
    v->sha384->alg = HASH_SHA384;
    return 0;
}

/* ---- programs and configuration ---- */

/* `path` is not copied. */
static int add_file(struct reference_values *v, char *path, struct bytes content, struct error *err)
{
    struct reference_file *longer =
        realloc(v->grub_cfgs, (v->grub_cfg_count + 1) * sizeof(*longer));
    if (!longer)
        return no_memory(err);
    v->grub_cfgs = longer;
    struct reference_file *f = &longer[v->grub_cfg_count++];
    *f = (struct reference_file){.path = path};
    return hash(&f->digest, v->alg, content, err);
}

static int predict_file(struct reference_values *v, const char *path, struct bytes content,
                        struct error *err)
{
    char *copy = strdup(path);
    size_t count = v->grub_cfg_count;
    if (!copy)
        return no_memory(err);
    int r = add_file(v, copy, content, err);
    if (v->grub_cfg_count == count)
        free(copy);
    return r < 0 ? r : add_file(v->sha384, copy, content, err);
}

static int predict_programs(struct reference_values *v, const struct bootpath *p, struct bytes main,
                            struct error *err)
{
    int r = pe_authenticode(&v->grub, v->alg, buffer_bytes(&p->grub_file), err);
    if (r < 0)
        return error_prefix(err, r, "%s", p->grub);
    if (p->shim)
        r = pe_authenticode(&v->shim, v->alg, buffer_bytes(&p->shim_file), err);
    if (r < 0)
        return error_prefix(err, r, "%s", p->shim);
    return hash(&v->grub_cfg, v->alg, main, err);
}

/* GRUB's own commands, the stub's, and those of the main configuration. */
static int predict_commands(struct reference_values *v, const struct bootpath *p, struct bytes stub,
                            struct bytes main, struct error *err)
{
    char ***list = &v->grub_commands;
    int r = grub_commands_of_program(list, buffer_bytes(&p->grub_file), err);
    if (r == 0 && !p->main_on_esp)
        r = grub_commands_of_text(list, stub, p->configs[p->first].path, err);
    if (r == 0)
        r = grub_commands_of_text(list, main, p->main_path, err);
    v->sha384->grub_commands = v->grub_commands;
    return r;
}

int predict_boot(struct reference_values *v, const struct bootpath *p, struct bytes stub,
                 struct bytes main, struct error *err)
{
    int r = begin(v, err);
    if (r == 0)
        r = predict_programs(v, p, main, err);
    if (r == 0)
        r = predict_programs(v->sha384, p, main, err);
    if (r == 0 && !p->main_on_esp)
        r = predict_file(v, p->configs[p->first].path, stub, err);
    if (r == 0)
        r = predict_file(v, p->main_path, main, err);
    return r < 0 ? r : predict_commands(v, p, stub, main, err);
}

/* ---- kernels ---- */
static int copy_names(struct reference_kernel *k, const struct predicted_kernel *in,
                      struct error *err)
{
    k->version = strdup(in->version);
    k->path = strdup(in->path);
    k->initramfs_path = in->initramfs_path ? strdup(in->initramfs_path) : NULL;
    if (!k->version || !k->path || (in->initramfs_path && !k->initramfs_path))
        return no_memory(err);
    for (char *const *c = in->cmdlines; *c; c++)
        if (!strings_contain(k->cmdlines, *c) && strings_add(&k->cmdlines, *c) < 0)
            return no_memory(err);
    return 0;
}

static struct reference_kernel *add_kernel(struct reference_values *v)
{
    struct reference_kernel *longer = realloc(v->kernels, (v->kernel_count + 1) * sizeof(*longer));
    if (!longer)
        return NULL;
    v->kernels = longer;
    longer[v->kernel_count] = (struct reference_kernel){0};
    return &longer[v->kernel_count++];
}

static int measure_kernel(struct reference_kernel *k, enum hash_alg alg,
                          const struct predicted_kernel *in, struct error *err)
{
    int r = kernel_measure(k, alg, in->kernel, err);
    if (r == 0 && in->initramfs_path)
        r = hash(&k->initramfs, alg, in->initramfs, err);
    return r < 0 ? error_prefix(err, r, "%s", in->path) : 0;
}

int predict_kernel(struct reference_values *v, const struct predicted_kernel *in, struct error *err)
{
    struct reference_kernel *k = add_kernel(v);
    struct reference_kernel *other = add_kernel(v->sha384);
    if (!k || !other)
        return no_memory(err);
    int r = copy_names(k, in, err);
    *other = *k; /* the names */
    if (r == 0)
        r = measure_kernel(k, v->alg, in, err);
    return r < 0 ? r : measure_kernel(other, v->sha384->alg, in, err);
}

/* ---- comparing ---- */
struct differences {
    struct buffer text;
    int r;
};

static void compare(struct differences *d, const char *what, const struct digest *given,
                    const struct digest *image)
{
    char a[DIGEST_HEX_SIZE], b[DIGEST_HEX_SIZE];
    if (given->size == 0 || digest_equal(given, image))
        return;
    digest_hex(given, a);
    digest_hex(image, b);
    int r = buffer_printf(&d->text, "%s%s (expected %.16s…, the image has %.16s…)",
                          d->text.size ? ", " : "", what, a, image->size ? b : "none");
    d->r = r < 0 ? r : d->r;
}

static void compare_kernel(struct differences *d, const struct reference_kernel *k,
                           const struct reference_values *image)
{
    const struct reference_kernel *found = NULL;
    char what[300];
    for (size_t i = 0; i < image->kernel_count && !found; i++)
        if (strcmp(image->kernels[i].version, k->version) == 0)
            found = &image->kernels[i];
    if (!found) {
        d->r = buffer_printf(&d->text, "%skernel %.200s (not in the image)",
                             d->text.size ? ", " : "", k->version);
        return;
    }
    const struct {
        const char *name;
        const struct digest *given, *image;
    } digests[] = {
        {"kernel", &k->kernel, &found->kernel},
        {"kernel file", &k->kernel_file, &found->kernel_file},
        {"initramfs of kernel", &k->initramfs, &found->initramfs},
    };
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
        snprintf(what, sizeof(what), "%s %.200s", digests[i].name, k->version);
        compare(d, what, digests[i].given, digests[i].image);
    }
}

int references_compare(const struct reference_values *given, const struct reference_values *image,
                       struct error *err)
{
    struct differences d = {0};
    compare(&d, "shim", &given->shim, &image->shim);
    compare(&d, "grub", &given->grub, &image->grub);
    compare(&d, "grub.cfg", &given->grub_cfg, &image->grub_cfg);
    for (size_t i = 0; i < given->kernel_count; i++)
        compare_kernel(&d, &given->kernels[i], image);
    int r = d.r;
    if (r < 0)
        r = no_memory(err);
    else if (d.text.size)
        r = error_hint(err,
                       error_set(err, EINVAL, "reference values of another image: %.*s",
                                 (int)d.text.size, (const char *)d.text.data),
                       "make them anew with: encroot image measure -i IMAGE -o hash.json");
    buffer_free(&d.text);
    return r;
}
