#include "image/image_plan.h"
#include "crypto/volume_key.h"
#include "disk/luks.h"
#include "image/agent_file.h"
#include "image/doors.h"
#include "image/grubgen.h"
#include "image/kernel_modules.h"
#include "image/measure_image.h"
#include "image/predict.h"
#include "image/text.h"
#include "image/updates.h"
#include "measure/kernel.h"

#include <elf.h>
#include <stdarg.h>
#include <string.h>

#define CONFIG_FILE_MAX ((size_t)4 << 20)

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

void image_plan_free(struct image_plan *p)
{
    for (size_t i = 0; p->cmdlines && i < p->boot.count; i++)
        cmdline_free(&p->cmdlines[i]);
    for (size_t i = 0; i < p->kernel_count; i++) {
        free(p->kernels[i].version);
        free(p->kernels[i].path);
        free(p->kernels[i].initramfs_path);
        free(p->kernels[i].root_flags);
        buffer_free(&p->kernels[i].initramfs);
    }
    free(p->cmdlines);
    free(p->kernels);
    strings_free(p->warnings);
    buffer_free(&p->grub_cfg);
    buffer_free(&p->stub);
    reference_values_free(&p->references);
    bootplan_free(&p->boot);
    bootpath_free(&p->bootpath);
    layout_close(&p->layout);
    *p = (struct image_plan){0};
}

static int warn(struct image_plan *p, struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int warn(struct image_plan *p, struct error *err, const char *fmt, ...)
{
    _free_ char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        text = NULL;
    return n < 0 || strings_add(&p->warnings, text) < 0 ? no_memory(err) : 0;
}

/* ---- the input ---- */
static int check_references(struct image_plan *p, const struct image_request *q, struct error *err)
{
    _reference_values_ struct reference_values own = {0};
    if (!q->references)
        return 0;
    int r = measure_entries(&own, &p->layout, &p->bootpath, &p->boot, err);
    return r < 0 ? r : references_compare(q->references, &own, err);
}

static bool uses_bls(const struct grub_config *c)
{
    for (size_t i = 0; i < c->command_count; i++)
        if (strcmp(c->commands[i].words[0], "blscfg") == 0)
            return true;
    return false;
}

static int no_entry_left(struct image_plan *p, struct error *err)
{
    _buffer_ struct buffer why = {0};
    for (size_t i = 0; i < p->boot.removed_count; i++)
        if (buffer_printf(&why, "%s\"%s\": %s", i ? "; " : "", p->boot.removed[i].title,
                          p->boot.removed[i].reason) < 0)
            break;
    int r = error_set(err, EINVAL, "%s: no entry of %s can boot an encrypted root%s%.*s",
                      p->layout.path, p->bootpath.main_path, why.size ? ": " : "", (int)why.size,
                      why.size ? (const char *)why.data : "");
    if (!uses_bls(&p->bootpath.main_config))
        return r;
    return error_hint(
        err, r,
        "its entries are files in loader/entries (blscfg), which are not read: in the "
        "guest, set GRUB_ENABLE_BLSCFG=false in /etc/default/grub, then "
        "grub2-mkconfig -o /boot/grub2/grub.cfg");
}

static int read_input(struct image_plan *p, const struct image_request *q, struct error *err)
{
    struct layout *l = &p->layout;
    struct filesystem *fs;
    int r = layout_open(l, q->input, err);
    if (r == 0)
        r = layout_find_root(l, q->root_partition, err);
    if (r == 0)
        r = layout_find_boot(l, err);
    /* A dirty journal of any filesystem that we read or write stops here. */
    const int used[] = {l->root, l->boot, l->esp};
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(used); i++)
        r = layout_filesystem(l, used[i], &fs, err);
    if (r == 0)
        r = bootpath_read(&p->bootpath, l, err);
    if (r == 0)
        r = agent_file_check(q->agent, p->bootpath.elf_machine, err);
    if (r == 0)
        r = boot_entries(&p->boot, l, &p->bootpath, err);
    return r < 0 ? r : check_references(p, q, err);
}

/* ---- the volume ---- */
static int plan_volume(struct image_plan *p, const struct image_request *q, struct error *err)
{
    struct layout *l = &p->layout;
    const struct partition *root = &l->table.parts[l->root];
    struct filesystem *fs;
    uint8_t uuid[16];
    int r = layout_filesystem(l, l->root, &fs, err);
    if (r < 0)
        return r;
    if (filesystem_uuid(fs, uuid) < 0)
        return error_hint(err,
                          error_set(err, EINVAL, "%s: the root filesystem has no UUID", l->path),
                          "give it one: tune2fs -U random");
    p->sector_size = filesystem_block_size(fs) % 4096 == 0 ? 4096 : 512;
    p->data_size = root->size / p->sector_size * p->sector_size;
    if (filesystem_size(fs) > p->data_size)
        return error_hint(err,
                          error_set(err, EINVAL,
                                    "%s: partition %u has %llu bytes, its filesystem %llu", l->path,
                                    root->number, (unsigned long long)root->size,
                                    (unsigned long long)filesystem_size(fs)),
                          "the filesystem is damaged: e2fsck, resize2fs");
    r = volume_uuid_derive(p->volume_uuid, q->secret, uuid, err);
    return r < 0 ? r
                 : growth_plan(&p->table, &p->growth, &l->table, (size_t)l->root, LUKS_DATA_OFFSET,
                               err);
}

/* ---- kernels ---- */
static struct image_kernel *find_kernel(struct image_plan *p, const struct boot_entry *e)
{
    for (size_t i = 0; i < p->kernel_count; i++)
        if (strcmp(p->kernels[i].path, e->kernel) == 0)
            return &p->kernels[i];
    return NULL;
}

/* Its initramfs would have the same name, and other content. */
static bool version_is_taken(const struct image_plan *p, const struct boot_entry *e)
{
    for (size_t i = 0; i < p->kernel_count; i++)
        if (strcmp(p->kernels[i].version, e->version) == 0)
            return true;
    return false;
}

static int read_config_of(struct image_plan *p, const char *version, struct buffer *ret,
                          struct error *err)
{
    struct filesystem *boot;
    _free_ char *path = NULL;
    if (asprintf(&path, "/config-%s", version) < 0)
        return no_memory(err);
    int r = layout_filesystem(&p->layout, p->layout.boot, &boot, err);
    return r < 0 ? r : read_if_there(boot, path, CONFIG_FILE_MAX, ret, err);
}

static int make_initramfs(struct image_plan *p, const struct image_request *q,
                          struct image_kernel *k, struct error *err)
{
    const struct layout *l = &p->layout;
    const struct partition *root = &p->table.parts[l->root];
    _kernel_modules_ struct kernel_modules modules = {0};
    _buffer_ struct buffer kernel_config = {0};
    _free_ struct agent_module *list = NULL;
    struct filesystem *fs;
    int r = layout_filesystem(&p->layout, l->root, &fs, err);
    if (r == 0)
        r = kernel_modules_read(&modules, fs, k->version, err);
    if (r == 0)
        r = kernel_modules_for_agent(&modules, &list, err);
    if (r == 0)
        r = read_config_of(p, k->version, &kernel_config, err);
    if (r < 0)
        return r;
    char cipher[] = LUKS_CIPHER;
    struct agent_config config = {
        .cipher = cipher,
        .sector_size = p->sector_size,
        .data_offset = LUKS_DATA_OFFSET,
        .data_size = p->data_size,
        .root_type = p->layout.parts[l->root].info.type_name,
        .root_read_only = k->read_only,
        .root_flags = k->root_flags,
        .pin_count = q->pin_count,
        .listen_port = q->listen_port,
        .broker_count = q->broker_count,
        .deadline = q->deadline,
        .on_failure = q->on_failure,
        .modules = list,
        .module_count = modules.plan.count,
    };
    memcpy(config.volume_uuid, p->volume_uuid, sizeof(config.volume_uuid));
    memcpy(config.partition_uuid, root->uuid, sizeof(config.partition_uuid));
    memcpy(config.pins, q->pins, sizeof(config.pins));
    for (size_t i = 0; i < q->broker_count && i < AGENT_BROKERS_MAX; i++)
        config.brokers[i] = q->brokers[i];
    k->module_count = modules.plan.count;
    struct initramfs_content content = {
        .agent = q->agent,
        .config = &config,
        .modules = modules.content,
        .module_count = modules.plan.count,
        .compression = initramfs_compression_for(buffer_bytes(&kernel_config)),
    };
    k->initramfs.max = INITRAMFS_MAX;
    return initramfs_make(&k->initramfs, &content, err);
}

static void drop_last_kernel(struct image_plan *p)
{
    struct image_kernel *k = &p->kernels[--p->kernel_count];
    free(k->version);
    free(k->path);
    free(k->initramfs_path);
    free(k->root_flags);
    buffer_free(&k->initramfs);
}

static int add_kernel(struct image_plan *p, const struct image_request *q,
                      const struct boot_entry *e, const struct cmdline *c, struct error *err)
{
    struct image_kernel *longer = realloc(p->kernels, (p->kernel_count + 1) * sizeof(*longer));
    if (!longer)
        return no_memory(err);
    p->kernels = longer;
    struct image_kernel *k = &longer[p->kernel_count++];
    *k = (struct image_kernel){.version = strdup(e->version),
                               .path = strdup(e->kernel),
                               .root_flags = strdup(c->root_flags),
                               .read_only = c->read_only};
    if (asprintf(&k->initramfs_path, "/encroot-%s.img", e->version) < 0)
        k->initramfs_path = NULL;
    bool complete = k->version && k->path && k->root_flags && k->initramfs_path;
    int r = complete ? make_initramfs(p, q, k, err) : no_memory(err);
    if (r < 0)
        drop_last_kernel(p);
    return r;
}

/* ---- entries ---- */

/* On x86, a GRUB that does not use the stub's way itself can do without it. */
static bool stub_needs_no_initrd(const struct image_plan *p)
{
    return p->bootpath.elf_machine == EM_X86_64 && !p->bootpath.load_file2;
}

/* Plan entry `i`. Returns 1 when it stays, 0 when it was removed. */
static int plan_entry(struct image_plan *p, const struct image_request *q, size_t i,
                      struct error *err)
{
    const struct boot_entry *e = &p->boot.entries[i];
    struct cmdline *c = &p->cmdlines[i];
    const char *why = NULL;
    struct cmdline_options options = q->cmdline;
    options.noinitrd = stub_needs_no_initrd(p);
    int r = cmdline_rewrite(c, e->args, &options, &why, err);
    if (r == -EPERM)
        return bootplan_remove(&p->boot, i, why, err);
    if (r < 0)
        return r;
    const struct image_kernel *k = find_kernel(p, e);
    if (!k && version_is_taken(p, e)) {
        cmdline_free(c);
        return bootplan_remove(&p->boot, i,
                               "an entry before it boots another kernel of its version", err);
    }
    if (!k) {
        struct error local = {0};
        r = add_kernel(p, q, e, c, &local);
        if (r == 0)
            return 1;
        cmdline_free(c);
        /* A kernel that lacks what a volume needs cannot boot one; the others can. */
        if (r == -ENOENT)
            return bootplan_remove(&p->boot, i, local.text, err);
        if (err)
            *err = local;
        return r;
    }
    if (k->read_only == c->read_only && strcmp(k->root_flags, c->root_flags) == 0)
        return 1;
    cmdline_free(c);
    return bootplan_remove(&p->boot, i, "it mounts the root in another way than an entry before it",
                           err);
}

static int plan_entries(struct image_plan *p, const struct image_request *q, struct error *err)
{
    p->cmdlines = calloc(p->boot.count + 1, sizeof(*p->cmdlines));
    if (!p->cmdlines)
        return no_memory(err);
    for (size_t i = 0; i < p->boot.count;) {
        int r = plan_entry(p, q, i, err);
        if (r < 0)
            return r;
        i += (size_t)r;
    }
    return p->boot.count ? 0 : no_entry_left(p, err);
}

static int write_configs(struct image_plan *p, struct error *err)
{
    const char *boot_uuid = p->layout.parts[p->layout.boot].info.uuid;
    const char *main_uuid =
        p->bootpath.main_on_esp ? p->layout.parts[p->layout.esp].info.uuid : boot_uuid;
    int r = grubgen_header(&p->grub_cfg, &p->boot);
    for (size_t i = 0; r == 0 && i < p->boot.count; i++) {
        const struct boot_entry *e = &p->boot.entries[i];
        struct grubgen_entry g = {.title = e->title,
                                  .id = e->id,
                                  .kernel = e->kernel,
                                  .args = p->cmdlines[i].words,
                                  .initrd = find_kernel(p, e)->initramfs_path};
        r = grubgen_entry(&p->grub_cfg, &g, boot_uuid);
    }
    if (r == 0)
        r = grubgen_stub(&p->stub, main_uuid, p->bootpath.main_path);
    return r < 0 ? no_memory(err) : 0;
}

/* ---- reference values ---- */
static int predict_one(struct image_plan *p, const struct image_kernel *k, struct error *err)
{
    struct filesystem *boot;
    _buffer_ struct buffer kernel = {0};
    _strings_ char **cmdlines = NULL;
    int r = layout_filesystem(&p->layout, p->layout.boot, &boot, err);
    if (r == 0)
        r = filesystem_read_file(boot, k->path, KERNEL_FILE_MAX, &kernel, err);
    for (size_t i = 0; r == 0 && i < p->boot.count; i++) {
        _buffer_ struct buffer line = {0};
        if (strcmp(p->boot.entries[i].kernel, k->path) != 0)
            continue;
        if (cmdline_join(&line, k->path, p->cmdlines[i].words) < 0 ||
            strings_add_n(&cmdlines, (const char *)line.data, line.size) < 0)
            r = no_memory(err);
    }
    struct predicted_kernel in = {.version = k->version,
                                  .path = k->path,
                                  .initramfs_path = k->initramfs_path,
                                  .kernel = buffer_bytes(&kernel),
                                  .initramfs = buffer_bytes(&k->initramfs),
                                  .cmdlines = cmdlines};
    if (r == 0)
        r = predict_kernel(&p->references, &in, err);
    if (r == 0 && !stub_needs_no_initrd(p) && kernel_takes_any_initramfs(buffer_bytes(&kernel)))
        r = warn(
            p, err,
            "kernel %s takes an initramfs from firmware instead of the boot loader's, and may not "
            "measure it: a host can run its own in the attested guest; use a newer kernel (6.9)",
            k->version);
    return r;
}

static int predict(struct image_plan *p, struct error *err)
{
    const struct esp_config *first = &p->bootpath.configs[p->bootpath.first];
    struct filesystem *esp;
    _buffer_ struct buffer stub = {0};
    int r = layout_filesystem(&p->layout, p->layout.esp, &esp, err);
    if (r == 0 && first->plain)
        r = filesystem_read_file(esp, first->path, GRUBCFG_MAX, &stub, err);
    if (r == 0)
        r = predict_boot(&p->references, &p->bootpath,
                         first->plain ? buffer_bytes(&stub) : buffer_bytes(&p->stub),
                         buffer_bytes(&p->grub_cfg), err);
    for (size_t i = 0; r == 0 && i < p->kernel_count; i++)
        r = predict_one(p, &p->kernels[i], err);
    return r;
}

/* ---- what the owner should know ---- */
struct door_warnings {
    struct image_plan *plan;
    struct error *err;
};

static int warn_of_door(void *arg, const struct door *d)
{
    struct door_warnings *w = arg;
    return warn(w->plan, w->err, "the guest has %s: %s; encryption does not close that door",
                d->name, d->why);
}

static int add_door_warnings(struct image_plan *p, struct error *err)
{
    struct filesystem *root; /* the layout's */
    struct door_warnings w = {p, err};
    int r = layout_filesystem(&p->layout, p->layout.root, &root, err);
    return r < 0 ? r : doors_find(root, warn_of_door, &w);
}

static int add_update_warning(struct image_plan *p, struct error *err)
{
    struct filesystem *root; /* the layout's */
    int r = layout_filesystem(&p->layout, p->layout.root, &root, err);
    const char *what = r == 0 ? updates_find(root) : NULL;
    if (!what)
        return r;
    return warn(p, err,
                "%s: a new kernel or GRUB does not match hash.json, and the next boot gets no key; "
                "hold these packages in the guest, and update by encrypting an updated plain "
                "image (encroot-image(1), UPDATES)",
                what);
}

static int add_warnings(struct image_plan *p, struct error *err)
{
    const struct layout *l = &p->layout;
    int r = add_door_warnings(p, err);
    if (r == 0)
        r = add_update_warning(p, err);
    if (r == 0 && p->bootpath.fallback)
        r = warn(p, err,
                 "shim's fallback loader is in EFI/BOOT: where firmware starts from there, it is "
                 "measured too, and is not in the reference values; remove it in the guest");
    for (int i = 0; r == 0 && i < (int)l->table.count; i++) {
        char text[PARTITION_TEXT];
        enum fs_type type = l->parts[i].info.type;
        if (i == l->root || i == l->boot || i == l->esp)
            continue;
        if (type == FS_SWAP)
            r = warn(p, err,
                     "%s is not encrypted: the guest would write its memory to the host's disk; "
                     "use a swap file in the root filesystem",
                     layout_describe(l, i, text));
        else if (type != FS_UNKNOWN && type != FS_LUKS)
            r = warn(p, err, "%s is copied as it is, not encrypted", layout_describe(l, i, text));
    }
    return r;
}

int image_plan_make(struct image_plan *ret, const struct image_request *q, struct error *err)
{
    struct image_plan *p = ret;
    *p = (struct image_plan){0};
    int r = read_input(p, q, err);
    if (r == 0)
        r = plan_volume(p, q, err);
    if (r == 0)
        r = plan_entries(p, q, err);
    if (r == 0)
        r = write_configs(p, err);
    if (r == 0)
        r = predict(p, err);
    if (r == 0)
        r = add_warnings(p, err);
    if (r < 0)
        image_plan_free(p);
    return r;
}
