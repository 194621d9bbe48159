#include "image/layout.h"
#include "base/hex.h"
#include "image/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* UEFI, 5.3.3, in text order: c12a7328-f81f-11d2-ba4b-00a0c93ec93b */
static const uint8_t esp_type[16] = {0xc1, 0x2a, 0x73, 0x28, 0xf8, 0x1f, 0x11, 0xd2,
                                     0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b};

void layout_close(struct layout *l)
{
    for (size_t i = 0; l->parts && i < l->table.count; i++) {
        filesystem_abort(l->parts[i].fs);
        blockdev_close(l->parts[i].window);
        free(l->parts[i].open_error);
    }
    free(l->parts);
    fstab_free(&l->fstab);
    blockdev_close(l->disk);
    free(l->path);
    *l = (struct layout){.root = LAYOUT_NONE, .boot = LAYOUT_NONE, .esp = LAYOUT_NONE};
}

const char *layout_describe(const struct layout *l, int index, char out[PARTITION_TEXT])
{
    const struct fs_info *info = &l->parts[index].info;
    snprintf(out, PARTITION_TEXT, "partition %u (%s)", l->table.parts[index].number,
             info->type_name[0] ? info->type_name : "no filesystem");
    return out;
}

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

/* ---- opening ---- */
static int look_at(struct layout *l, size_t i, struct error *err)
{
    struct layout_partition *p = &l->parts[i];
    const struct partition *q = &l->table.parts[i];
    int r = 0;
    if (q->start > l->disk->size || q->size > l->disk->size - q->start)
        r = error_set(err, EINVAL, "ends at byte %llu, but the disk has only %llu",
                      (unsigned long long)(q->start + q->size), (unsigned long long)l->disk->size);
    if (r == 0)
        r = blockdev_window(&p->window, l->disk, q->start, q->size, err);
    if (r == 0)
        r = filesystem_probe(&p->info, p->window, err);
    return r < 0 ? error_prefix(err, r, "%s: partition %u", l->path, q->number) : 0;
}

static int open_all(struct layout *l, const char *path, struct error *err)
{
    l->path = strdup(path);
    if (!l->path)
        return no_memory(err);
    int r = blockdev_open(&l->disk, path, &l->format, err);
    if (r < 0)
        return r;
    r = partition_table_read(&l->table, l->disk, err);
    if (r < 0)
        return error_prefix(err, r, "%s", path);
    l->parts = calloc(l->table.count + 1, sizeof(*l->parts));
    if (!l->parts)
        return no_memory(err);
    for (size_t i = 0; r == 0 && i < l->table.count; i++)
        r = look_at(l, i, err);
    return r;
}

int layout_open(struct layout *ret, const char *path, struct error *err)
{
    struct layout *l = ret;
    *l = (struct layout){.root = LAYOUT_NONE, .boot = LAYOUT_NONE, .esp = LAYOUT_NONE};
    int r = open_all(l, path, err);
    if (r < 0)
        layout_close(l);
    return r;
}

int layout_filesystem(struct layout *l, int index, struct filesystem **ret, struct error *err)
{
    struct layout_partition *p = &l->parts[index];
    if (!p->fs && !p->open_error) {
        struct error e = {0};
        int r = filesystem_open(&p->fs, p->window, false, &e);
        char text[PARTITION_TEXT];
        if (r < 0) {
            error_prefix(&e, r, "%s: %s", l->path, layout_describe(l, index, text));
            p->open_error = malloc(sizeof(e));
            if (!p->open_error)
                return no_memory(err);
            *p->open_error = e;
        }
    }
    if (!p->fs) {
        if (err)
            *err = *p->open_error;
        return -p->open_error->code;
    }
    *ret = p->fs;
    return 0;
}

int read_if_there(struct filesystem *fs, const char *path, size_t max, struct buffer *ret,
                  struct error *err)
{
    return filesystem_exists(fs, path) ? filesystem_read_file(fs, path, max, ret, err) : 0;
}

/* ---- which partition does an fstab line mean? ---- */
static bool tag_matches(const char *source, const char *tag, const char *value)
{
    return starts_with(source, tag) && value[0] && strcasecmp(source + strlen(tag), value) == 0;
}

/* "/dev/vda3", "/dev/nvme0n1p3" → 3; 0 for anything else. */
static unsigned device_number(const char *source)
{
    if (!starts_with(source, "/dev/") || strchr(source + 5, '/'))
        return 0;
    const char *digits = source + strlen(source);
    while (digits > source && isdigit((unsigned char)digits[-1]))
        digits--;
    return strlen(digits) < 4 ? (unsigned)strtoul(digits, NULL, 10) : 0;
}

static bool source_means(const struct layout *l, int index, const char *source)
{
    const struct partition *p = &l->table.parts[index];
    const struct fs_info *info = &l->parts[index].info;
    char uuid[UUID_TEXT_SIZE];
    uuid_format(p->uuid, uuid);
    const struct {
        const char *tag;
        const char *value;
    } tags[] = {
        {"UUID=", info->uuid},   {"/dev/disk/by-uuid/", info->uuid},
        {"LABEL=", info->label}, {"/dev/disk/by-label/", info->label},
        {"PARTUUID=", uuid},     {"/dev/disk/by-partuuid/", uuid},
        {"PARTLABEL=", p->name}, {"/dev/disk/by-partlabel/", p->name},
    };
    for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
        if (tag_matches(source, tags[i].tag, tags[i].value))
            return true;
    return device_number(source) == p->number && p->number != 0;
}

static int find_source(const struct layout *l, const char *source)
{
    for (size_t i = 0; i < l->table.count; i++)
        if (source_means(l, (int)i, source))
            return (int)i;
    return LAYOUT_NONE;
}

/* ---- the root ---- */
static bool has_system(struct filesystem *fs)
{
    return filesystem_exists(fs, "/etc/fstab") && (filesystem_exists(fs, "/etc/os-release") ||
                                                   filesystem_exists(fs, "/usr/lib/os-release"));
}

static int read_fstab(struct layout *l, struct filesystem *fs, struct fstab *ret, struct error *err)
{
    _buffer_ struct buffer text = {0};
    int r = filesystem_read_file(fs, "/etc/fstab", FSTAB_MAX, &text, err);
    return r < 0 ? r : fstab_parse(ret, buffer_bytes(&text), err);
}

/* What is on the disk, in a sentence for errors. */
static void describe_all(const struct layout *l, struct buffer *b)
{
    char text[PARTITION_TEXT];
    for (size_t i = 0; i < l->table.count; i++)
        if (buffer_printf(b, "%s%s%s%s", i ? "; " : "", layout_describe(l, (int)i, text),
                          l->table.parts[i].name[0] ? " " : "", l->table.parts[i].name) < 0)
            return;
}

static int no_root(const struct layout *l, struct error *err)
{
    _buffer_ struct buffer all = {0};
    describe_all(l, &all);
    for (size_t i = 0; i < l->table.count; i++)
        if (l->parts[i].info.type == FS_LUKS)
            return error_hint(err,
                              error_set(err, EALREADY,
                                        "%s: partition %u is encrypted already (LUKS)", l->path,
                                        l->table.parts[i].number),
                              "start from the image as it was before encryption");
    for (size_t i = 0; i < l->table.count; i++)
        if (l->parts[i].open_error) {
            if (err)
                *err = *l->parts[i].open_error;
            return -l->parts[i].open_error->code;
        }
    return error_hint(err,
                      error_set(err, ENOENT, "%s: no root filesystem found; it has %.*s", l->path,
                                (int)all.size, all.size ? (const char *)all.data : ""),
                      "a root filesystem is ext4 with /etc/fstab (naming itself as \"/\") and "
                      "os-release; --root-partition N says which it is");
}

static bool is_root(struct layout *l, int index)
{
    struct filesystem *fs;
    _fstab_ struct fstab t = {0};
    if (l->parts[index].info.type != FS_EXT || layout_filesystem(l, index, &fs, NULL) < 0 ||
        !has_system(fs) || read_fstab(l, fs, &t, NULL) < 0)
        return false;
    const struct fstab_entry *e = fstab_find(&t, "/");
    return e && source_means(l, index, e->source);
}

static int several_roots(const struct layout *l, int a, int b, struct error *err)
{
    return error_hint(err,
                      error_set(err, ENOTUNIQ, "%s: partitions %u and %u both are root filesystems",
                                l->path, l->table.parts[a].number, l->table.parts[b].number),
                      "choose one: --root-partition N");
}

static int find_root_by_content(struct layout *l, struct error *err)
{
    int found = LAYOUT_NONE;
    for (size_t i = 0; i < l->table.count; i++) {
        if (!is_root(l, (int)i))
            continue;
        if (found != LAYOUT_NONE)
            return several_roots(l, found, (int)i, err);
        found = (int)i;
    }
    if (found == LAYOUT_NONE)
        return no_root(l, err);
    l->root = found;
    return 0;
}

static int find_root_by_number(struct layout *l, unsigned number, struct error *err)
{
    char text[PARTITION_TEXT];
    for (size_t i = 0; i < l->table.count; i++) {
        if (l->table.parts[i].number != number)
            continue;
        if (l->parts[i].info.type == FS_LUKS)
            return error_set(err, EALREADY, "%s: partition %u is encrypted already (LUKS)", l->path,
                             number);
        if (l->parts[i].info.type != FS_EXT)
            return error_set(err, EOPNOTSUPP, "%s: %s: only ext4 root filesystems are supported",
                             l->path, layout_describe(l, (int)i, text));
        l->root = (int)i;
        return 0;
    }
    return error_set(err, ENOENT, "%s: there is no partition %u", l->path, number);
}

int layout_find_root(struct layout *l, unsigned number, struct error *err)
{
    struct filesystem *fs;
    int r = number ? find_root_by_number(l, number, err) : find_root_by_content(l, err);
    if (r == 0)
        r = layout_filesystem(l, l->root, &fs, err);
    if (r == 0)
        r = read_fstab(l, fs, &l->fstab, err);
    if (r < 0)
        l->root = LAYOUT_NONE;
    return r;
}

/* ---- /boot and the ESP ---- */
static int find_esp(const struct layout *l)
{
    const struct fstab_entry *e = fstab_find(&l->fstab, "/boot/efi");
    int index = e ? find_source(l, e->source) : LAYOUT_NONE;
    for (size_t i = 0; index == LAYOUT_NONE && i < l->table.count; i++)
        if (memcmp(l->table.parts[i].type_uuid, esp_type, sizeof(esp_type)) == 0)
            index = (int)i;
    if (index != LAYOUT_NONE && l->parts[index].info.type == FS_FAT)
        return index;
    /* One FAT partition may be both (openEuler). */
    return l->boot != LAYOUT_NONE && l->parts[l->boot].info.type == FS_FAT ? l->boot : LAYOUT_NONE;
}

static bool has_grub(struct layout *l, int index)
{
    struct filesystem *fs;
    enum fs_type type = l->parts[index].info.type;
    return (type == FS_EXT || type == FS_FAT) && layout_filesystem(l, index, &fs, NULL) == 0 &&
           (filesystem_exists(fs, "/grub/grub.cfg") || filesystem_exists(fs, "/grub2/grub.cfg"));
}

static int find_boot_by_content(struct layout *l)
{
    for (size_t i = 0; i < l->table.count; i++)
        if (has_grub(l, (int)i))
            return (int)i;
    return LAYOUT_NONE;
}

static int boot_inside_root(const struct layout *l, struct error *err)
{
    return error_hint(
        err,
        error_set(err, ENOENT, "%s: /boot is inside the root filesystem (its fstab has no /boot)",
                  l->path),
        "GRUB reads the kernel before the root can be opened: move /boot to a partition of its "
        "own (ext4, 200 MiB) and run update-grub in the guest");
}

static int check_boot(struct layout *l, struct error *err)
{
    char text[PARTITION_TEXT];
    enum fs_type type = l->parts[l->boot].info.type;
    if (l->boot == l->root)
        return boot_inside_root(l, err);
    if (type != FS_EXT && type != FS_FAT)
        return error_set(err, EOPNOTSUPP, "%s: /boot is on %s: only ext4 and FAT are supported",
                         l->path, layout_describe(l, l->boot, text));
    if (l->esp == LAYOUT_NONE)
        return error_hint(err,
                          error_set(err, ENOENT, "%s: there is no EFI system partition", l->path),
                          "a measured boot starts from UEFI firmware: install GRUB for EFI");
    return 0;
}

int layout_find_boot(struct layout *l, struct error *err)
{
    if (l->root != LAYOUT_NONE) {
        const struct fstab_entry *e = fstab_find(&l->fstab, "/boot");
        if (!e)
            return boot_inside_root(l, err);
        l->boot = find_source(l, e->source);
        if (l->boot == LAYOUT_NONE)
            return error_set(
                err, ENOENT,
                "%s: /boot is \"%s\" in the root's fstab, which is no partition of this disk",
                l->path, e->source);
    } else {
        l->boot = find_boot_by_content(l);
        if (l->boot == LAYOUT_NONE)
            return error_set(err, ENOENT, "%s: no partition with /grub/grub.cfg", l->path);
    }
    l->esp = find_esp(l);
    return check_boot(l, err);
}
