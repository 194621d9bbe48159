#include "image/measure_image.h"
#include "image/cmdline.h"
#include "image/initramfs.h"
#include "image/predict.h"
#include "image/text.h"
#include "measure/kernel.h"

#include <string.h>

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

/* ---- which entries ---- */
static bool kernel_unpacks_initramfs(struct filesystem *boot, const char *version)
{
    _free_ char *path = NULL;
    _buffer_ struct buffer config = {0};
    if (asprintf(&path, "/config-%s", version) < 0 || !filesystem_exists(boot, path) ||
        filesystem_read_file(boot, path, (size_t)4 << 20, &config, NULL) < 0)
        return true; /* nothing says that it does not */
    return strstr((const char *)config.data, "\nCONFIG_BLK_DEV_INITRD=y\n") != NULL;
}

static const char *judge_kernel(void *arg, const char *path, const char *version)
{
    struct layout *l = arg;
    struct filesystem *boot, *root;
    _free_ char *modules = NULL;
    if (layout_filesystem(l, l->boot, &boot, NULL) < 0 || !filesystem_exists(boot, path))
        return "its kernel is not in /boot";
    if (!kernel_unpacks_initramfs(boot, version))
        return "its kernel takes no initramfs";
    if (l->root == LAYOUT_NONE || layout_filesystem(l, l->root, &root, NULL) < 0)
        return NULL;
    if (asprintf(&modules, "/lib/modules/%s/modules.dep", version) < 0 ||
        !filesystem_exists(root, modules))
        return "the root filesystem has no modules for its kernel";
    return NULL;
}

int boot_entries(struct bootplan *ret, struct layout *l, const struct bootpath *p,
                 struct error *err)
{
    struct bootplan_checks checks = {
        .boot_uuid = l->parts[l->boot].info.uuid,
        .grubenv = p->grubenv.size ? (const char *)p->grubenv.data : NULL,
        .kernel = judge_kernel,
        .arg = l,
    };
    return bootplan_make(ret, &p->main_config, &checks, err);
}

/* ---- what they measure ---- */
static const char *last_initrd(const struct boot_entry *e)
{
    size_t n = strings_count(e->initrds);
    return n ? e->initrds[n - 1] : NULL;
}

static bool same_files(const struct boot_entry *a, const struct boot_entry *b)
{
    const char *x = last_initrd(a), *y = last_initrd(b);
    return strcmp(a->kernel, b->kernel) == 0 && (x && y ? strcmp(x, y) == 0 : x == y);
}

/* The command lines of all entries that boot the files of entry `first`. */
static int collect_cmdlines(char ***ret, const struct bootplan *plan, size_t first,
                            struct error *err)
{
    for (size_t i = first; i < plan->count; i++) {
        const struct boot_entry *e = &plan->entries[i];
        _buffer_ struct buffer line = {0};
        if (!same_files(&plan->entries[first], e))
            continue;
        if (cmdline_join(&line, e->kernel, e->args) < 0 ||
            strings_add_n(ret, (const char *)line.data, line.size) < 0)
            return no_memory(err);
    }
    return 0;
}

static int measure_entry(struct reference_values *v, struct filesystem *boot,
                         const struct bootplan *plan, size_t i, struct error *err)
{
    const struct boot_entry *e = &plan->entries[i];
    const char *initrd = last_initrd(e);
    _buffer_ struct buffer kernel = {0}, initramfs = {0};
    _strings_ char **cmdlines = NULL;
    int r = filesystem_read_file(boot, e->kernel, KERNEL_FILE_MAX, &kernel, err);
    if (r == 0 && initrd && filesystem_exists(boot, initrd))
        r = filesystem_read_file(boot, initrd, INITRAMFS_MAX, &initramfs, err);
    if (r == 0)
        r = collect_cmdlines(&cmdlines, plan, i, err);
    struct predicted_kernel k = {.version = e->version,
                                 .path = e->kernel,
                                 .initramfs_path = initramfs.size ? initrd : NULL,
                                 .kernel = buffer_bytes(&kernel),
                                 .initramfs = buffer_bytes(&initramfs),
                                 .cmdlines = cmdlines};
    return r < 0 ? r : predict_kernel(v, &k, err);
}

int measure_entries(struct reference_values *ret, struct layout *l, const struct bootpath *p,
                    const struct bootplan *plan, struct error *err)
{
    _reference_values_ struct reference_values v = {0};
    _buffer_ struct buffer stub = {0};
    struct filesystem *boot, *esp;
    int r = layout_filesystem(l, l->boot, &boot, err);
    if (r == 0)
        r = layout_filesystem(l, l->esp, &esp, err);
    if (r == 0 && !p->main_on_esp)
        r = filesystem_read_file(esp, p->configs[p->first].path, GRUBCFG_MAX, &stub, err);
    if (r == 0)
        r = predict_boot(&v, p, buffer_bytes(&stub), buffer_bytes(&p->main_text), err);
    for (size_t i = 0; r == 0 && i < plan->count; i++) {
        size_t first = 0;
        while (!same_files(&plan->entries[first], &plan->entries[i]))
            first++;
        if (first == i)
            r = measure_entry(&v, boot, plan, i, err);
    }
    if (r < 0)
        return error_prefix(err, r, "%s", l->path);
    *ret = v;
    v = (struct reference_values){0};
    return 0;
}
