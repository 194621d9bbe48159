#include "image/bootpath.h"
#include "image/grubgen.h"
#include "image/text.h"

#include <string.h>
#include <strings.h>

#define GRUBENV_MAX ((size_t)64 << 10)

void bootpath_free(struct bootpath *p)
{
    for (size_t i = 0; i < p->config_count; i++) {
        free(p->configs[i].path);
        free(p->configs[i].target);
    }
    free(p->configs);
    free(p->shim);
    free(p->grub);
    free(p->main_path);
    buffer_free(&p->shim_file);
    buffer_free(&p->grub_file);
    buffer_free(&p->main_text);
    buffer_free(&p->grubenv);
    grub_config_free(&p->main_config);
    *p = (struct bootpath){0};
}

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

/* ---- programs ---- */

/* UEFI, 3.5.1.1: the removable-media path; shim starts GRUB from its own folder. */
static const struct {
    const char *loader;
    const char *grub;
    const char *fallback;
    const char *platform; /* GRUB's name of it */
    uint16_t elf_machine;
} machines[] = {
    {"BOOTX64.EFI", "grubx64.efi", "fbx64.efi", "x86_64-efi", 62},
    {"BOOTAA64.EFI", "grubaa64.efi", "fbaa64.efi", "arm64-efi", 183},
};

/* The one of `names` (in `folder`) that equals `name` but for case (FAT), as a path; NULL if there
 * is none. */
static char *pick(char *const *names, const char *folder, const char *name)
{
    char *path = NULL;
    for (; names && *names; names++)
        if (strcasecmp(*names, name) == 0)
            return asprintf(&path, "%s/%s", folder, *names) < 0 ? NULL : path;
    return NULL;
}

static char *find_in(struct filesystem *fs, const char *folder, const char *name)
{
    char **names = NULL;
    if (filesystem_list(fs, *folder ? folder : "/", &names, NULL) < 0)
        return NULL;
    char *path = pick(names, folder, name);
    strv_free(names);
    return path;
}

/* Where shim was installed with a fallback loader, GRUB is in the distribution's folder. */
static char *find_grub(struct filesystem *fs, char *const *folders, const char *efi,
                       const char *name)
{
    char *path = NULL;
    for (int pass = 0; pass < 2 && !path; pass++)
        for (char *const *f = folders; *f && !path; f++) {
            _free_ char *folder = NULL;
            if ((strcasecmp(*f, "BOOT") == 0) != (pass == 0))
                continue;
            if (asprintf(&folder, "%s/%s", efi, *f) < 0)
                return NULL;
            path = find_in(fs, folder, name);
        }
    return path;
}

/*
 * LINUX_EFI_INITRD_MEDIA_GUID (Linux, include/linux/efi.h), as it lies in memory. GRUB 2.12 and
 * later offer the initramfs under it on every machine; on x86, earlier ones put it into the boot
 * parameters.
 */
static bool offers_load_file2(const struct buffer *grub)
{
    static const uint8_t guid[] = {0x27, 0xe4, 0x68, 0x55, 0xfc, 0x68, 0x3d, 0x4f,
                                   0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68};
    return memmem(grub->data, grub->size, guid, sizeof(guid)) != NULL;
}

/* GRUB keeps its modules in a section of this name (grub-core/kern/efi/init.c). */
static bool is_grub(const struct buffer *file)
{
    static const char section[8] = "mods";
    size_t headers = file->size < 4096 ? file->size : 4096;
    return memmem(file->data, headers, section, sizeof(section)) != NULL;
}

static int find_loaders(struct bootpath *p, struct filesystem *fs, const char *efi,
                        char *const *folders, struct error *err)
{
    _free_ char *boot = pick(folders, efi, "BOOT");
    for (size_t i = 0; boot && i < ARRAY_SIZE(machines); i++) {
        char *loader = find_in(fs, boot, machines[i].loader);
        if (!loader)
            continue;
        p->grub = loader;
        p->elf_machine = machines[i].elf_machine;
        int r = filesystem_read_file(fs, loader, LOADER_MAX, &p->grub_file, err);
        if (r < 0 || is_grub(&p->grub_file))
            return r;
        p->shim = p->grub;
        p->shim_file = p->grub_file;
        p->grub_file = (struct buffer){0};
        _free_ char *fallback = find_in(fs, boot, machines[i].fallback);
        p->fallback = fallback != NULL;
        p->grub = find_grub(fs, folders, efi, machines[i].grub);
        if (!p->grub)
            return error_set(err, ENOENT, "%s is not GRUB, and there is no %s for it to start",
                             p->shim, machines[i].grub);
        return filesystem_read_file(fs, p->grub, LOADER_MAX, &p->grub_file, err);
    }
    return error_hint(
        err, error_set(err, ENOENT, "no boot loader at EFI/BOOT/BOOTX64.EFI or BOOTAA64.EFI"),
        "in the guest: grub-install --removable, or "
        "dpkg-reconfigure grub-efi-amd64 with \"force extra installation\"");
}

/* ---- configuration files ---- */
static int add_config(struct bootpath *p, const char *path, const struct grub_stub *stub,
                      struct esp_config c, struct error *err)
{
    struct esp_config *longer = realloc(p->configs, (p->config_count + 1) * sizeof(*longer));
    if (!longer)
        return no_memory(err);
    p->configs = longer;
    c.path = strdup(path);
    c.target = stub->path ? strdup(stub->path) : NULL;
    longer[p->config_count++] = c;
    return !c.path || (stub->path && !c.target) ? no_memory(err) : 0;
}

/* With a prefix there, GRUB would read its lists of modules from /boot (grub-core/normal/main.c,
 * read_lists): files that decide what it loads. */
static bool prefix_has_lists(struct filesystem *boot, const char *prefix)
{
    for (size_t i = 0; prefix && i < ARRAY_SIZE(machines); i++) {
        _free_ char *path = NULL;
        if (asprintf(&path, "%s/%s/command.lst", prefix, machines[i].platform) < 0 ||
            filesystem_exists(boot, path))
            return true;
    }
    return false;
}

static int judge_config(struct bootpath *p, struct layout *l, const char *path, struct error *err)
{
    struct filesystem *esp, *boot;
    _buffer_ struct buffer text = {0};
    _grub_config_ struct grub_config c = {0};
    _grub_stub_ struct grub_stub s = {0};
    int r = layout_filesystem(l, l->esp, &esp, err);
    if (r == 0)
        r = layout_filesystem(l, l->boot, &boot, err);
    if (r == 0)
        r = filesystem_read_file(esp, path, GRUBCFG_MAX, &text, err);
    if (r == 0)
        r = grub_config_parse(&c, buffer_bytes(&text), path, err);
    if (r == 0)
        r = grub_stub_read(&s, &c, err);
    if (r < 0)
        return r;
    struct esp_config config = {
        .main = c.entry_count > 0,
        .plain = s.plain && strcasecmp(s.uuid, l->parts[l->boot].info.uuid) == 0 &&
                 filesystem_exists(boot, s.path) && !prefix_has_lists(boot, s.prefix),
    };
    return add_config(p, path, &s, config, err);
}

/* EFI/<folder>/grub.cfg, and what Debian's GRUB would prefer to it. */
static int find_configs_in(struct bootpath *p, struct layout *l, struct filesystem *fs,
                           const char *folder, struct error *err)
{
    char **names = NULL;
    int r = 0;
    if (filesystem_list(fs, folder, &names, NULL) < 0)
        return 0; /* a file */
    for (size_t i = 0; r == 0 && i <= ARRAY_SIZE(machines); i++) {
        _free_ char *sub =
            i < ARRAY_SIZE(machines) ? pick(names, folder, machines[i].platform) : NULL;
        _free_ char *path = i == ARRAY_SIZE(machines) ? pick(names, folder, "grub.cfg")
                            : sub                     ? find_in(fs, sub, "grub.cfg")
                                                      : NULL;
        if (path)
            r = judge_config(p, l, path, err);
    }
    strv_free(names);
    return r;
}

static int find_configs(struct bootpath *p, struct layout *l, const char *efi, char *const *folders,
                        struct error *err)
{
    struct filesystem *fs;
    int r = layout_filesystem(l, l->esp, &fs, err);
    for (char *const *f = folders; r == 0 && *f; f++) {
        _free_ char *folder = NULL;
        if (asprintf(&folder, "%s/%s", efi, *f) < 0)
            return no_memory(err);
        r = find_configs_in(p, l, fs, folder, err);
    }
    return r;
}

/* GRUB carries the folder of its configuration inside it ("prefix"). */
static bool embedded_in_grub(const struct bootpath *p, const char *config)
{
    const char *end = strrchr(config, '/');
    size_t n = (size_t)(end - config);
    return memmem(p->grub_file.data, p->grub_file.size, config, n) != NULL;
}

static int choose_first(struct bootpath *p, struct error *err)
{
    if (p->config_count == 0)
        return error_hint(err, error_set(err, ENOENT, "no grub.cfg in any folder of EFI/"),
                          "GRUB finds its configuration from EFI/<distribution>/grub.cfg on the "
                          "EFI system partition: run grub-install in the guest");
    for (size_t i = 0; i < p->config_count; i++)
        if (embedded_in_grub(p, p->configs[i].path)) {
            p->first = i;
            break;
        }
    return 0;
}

/* ---- the main configuration ---- */
static int choose_main(struct bootpath *p, struct filesystem *boot, struct error *err)
{
    static const char *const usual[] = {"/grub/grub.cfg", "/grub2/grub.cfg"};
    const struct esp_config *first = &p->configs[p->first];
    const char *path = first->main ? first->path : NULL;
    p->main_on_esp = first->main;
    if (!path && first->target && filesystem_exists(boot, first->target))
        path = first->target;
    for (size_t i = 0; !path && i < ARRAY_SIZE(usual); i++)
        if (filesystem_exists(boot, usual[i]))
            path = usual[i];
    if (!path)
        return error_set(err, ENOENT, "no /grub/grub.cfg on the boot filesystem");
    p->main_path = strdup(path);
    /* One that leads elsewhere would be a second way to boot. */
    for (size_t i = 0; i < p->config_count; i++) {
        struct esp_config *c = &p->configs[i];
        c->plain = c->plain && !p->main_on_esp && c->target && strcmp(c->target, path) == 0;
    }
    return p->main_path ? 0 : no_memory(err);
}

static int read_main(struct bootpath *p, struct layout *l, struct error *err)
{
    struct filesystem *fs;
    int r = layout_filesystem(l, l->boot, &fs, err);
    if (r == 0)
        r = choose_main(p, fs, err);
    if (r == 0 && p->main_on_esp)
        r = layout_filesystem(l, l->esp, &fs, err);
    if (r < 0)
        return r;
    _free_ char *env = NULL;
    const char *slash = strrchr(p->main_path, '/');
    if (asprintf(&env, "%.*s/grubenv", (int)(slash - p->main_path), p->main_path) < 0)
        return no_memory(err);
    r = filesystem_read_file(fs, p->main_path, GRUBCFG_MAX, &p->main_text, err);
    if (r == 0)
        r = read_if_there(fs, env, GRUBENV_MAX, &p->grubenv, err);
    return r < 0
               ? r
               : grub_config_parse(&p->main_config, buffer_bytes(&p->main_text), p->main_path, err);
}

static int read_all(struct bootpath *p, struct layout *l, struct error *err)
{
    struct filesystem *fs;
    char **folders = NULL;
    int r = layout_filesystem(l, l->esp, &fs, err);
    if (r < 0)
        return r;
    _free_ char *efi = find_in(fs, "", "EFI");
    if (!efi)
        return error_set(err, ENOENT, "no folder EFI on the EFI system partition");
    r = filesystem_list(fs, efi, &folders, err);
    if (r == 0)
        r = find_loaders(p, fs, efi, folders, err);
    p->load_file2 = r == 0 && offers_load_file2(&p->grub_file);
    if (r == 0)
        r = find_configs(p, l, efi, folders, err);
    strv_free(folders);
    if (r == 0)
        r = choose_first(p, err);
    return r < 0 ? r : read_main(p, l, err);
}

int bootpath_read(struct bootpath *ret, struct layout *l, struct error *err)
{
    _bootpath_ struct bootpath p = {0};
    int r = read_all(&p, l, err);
    if (r < 0)
        return error_prefix(err, r, "%s", l->path);
    *ret = p;
    p = (struct bootpath){0};
    return 0;
}
