#include "disk/filesystem_internal.h"
#include "disk/sketch.h"

#include <blkid.h>
#include <string.h>

#define NAMES_MAX ((size_t)1 << 16)

static const struct type {
    const char *name; /* libblkid's */
    enum fs_type type;
    const char *described;
} types[] = {
    {"ext2", FS_EXT, "ext2"},
    {"ext3", FS_EXT, "ext3"},
    {"ext4", FS_EXT, "ext4"},
    {"vfat", FS_FAT, "FAT"},
    {"crypto_LUKS", FS_LUKS, "LUKS"},
    {"swap", FS_SWAP, "swap space"},
    {"xfs", FS_XFS, "XFS"},
    {"btrfs", FS_BTRFS, "Btrfs"},
    {"LVM2_member", FS_LVM, "an LVM volume"},
};

static const struct driver {
    enum fs_type type;
    int (*open)(struct filesystem **ret, struct blockdev *d, bool writable, struct error *err);
} drivers[] = {{FS_EXT, ext_open}, {FS_FAT, fat_open}};

static void cleanup_probe(blkid_probe *p)
{
    blkid_free_probe(*p);
}

static void look_up(blkid_probe p, const char *what, char *ret, size_t size)
{
    const char *value;
    if (blkid_probe_lookup_value(p, what, &value, NULL) == 0)
        snprintf(ret, size, "%s", value);
}

static int probe(struct fs_info *ret, int fd, uint64_t size, const char *name, struct error *err)
{
    _cleanup_(cleanup_probe) blkid_probe p = blkid_new_probe();
    if (!p || blkid_probe_set_device(p, fd, 0, (blkid_loff_t)size) < 0)
        return error_set(err, EIO, "%s: probing for a filesystem", name);
    blkid_probe_enable_superblocks(p, 1);
    blkid_probe_set_superblocks_flags(p,
                                      BLKID_SUBLKS_TYPE | BLKID_SUBLKS_UUID | BLKID_SUBLKS_LABEL);
    int r = blkid_do_safeprobe(p);
    if (r == -2) {
        /* Signatures of several: nobody knows which of them counts. */
        *ret = (struct fs_info){.type = FS_OTHER, .type_name = "ambiguous"};
        return 0;
    }
    if (r < 0)
        return error_set(err, EIO, "%s: probing for a filesystem", name);
    struct fs_info info = {.type = FS_UNKNOWN};
    if (r == 0) {
        look_up(p, "TYPE", info.type_name, sizeof(info.type_name));
        look_up(p, "UUID", info.uuid, sizeof(info.uuid));
        look_up(p, "LABEL", info.label, sizeof(info.label));
        info.type = FS_OTHER;
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
            if (strcmp(info.type_name, types[i].name) == 0)
                info.type = types[i].type;
    }
    *ret = info;
    return 0;
}

int filesystem_probe(struct fs_info *ret, struct blockdev *d, struct error *err)
{
    if (d->size < 4096) { /* nothing fits, and libblkid fails on it */
        *ret = (struct fs_info){.type = FS_UNKNOWN};
        return 0;
    }
    /* Superblocks lie in the first 1.1 MiB; those of RAID, LDM and others at the very end. */
    _close_ int fd = sketch_open(d, (uint64_t)1200 << 10, (uint64_t)128 << 10, err);
    return fd < 0 ? fd : probe(ret, fd, d->size, d->name, err);
}

static const char *describe(const struct fs_info *info)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(info->type_name, types[i].name) == 0)
            return types[i].described;
    return info->type_name[0] ? info->type_name : "no known filesystem";
}

int filesystem_open(struct filesystem **ret, struct blockdev *d, bool writable, struct error *err)
{
    struct fs_info info;
    int r = filesystem_probe(&info, d, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (drivers[i].type == info.type)
            return drivers[i].open(ret, d, writable, err);
    return error_set(err, EOPNOTSUPP, "%s: expected ext2, ext3, ext4 or FAT, found %s", d->name,
                     describe(&info));
}

int filesystem_close(struct filesystem *fs, struct error *err)
{
    int r = fs->writable ? fs->ops->flush(fs, err) : 0;
    fs->ops->free(fs);
    return r;
}

void filesystem_abort(struct filesystem *fs)
{
    if (fs)
        fs->ops->free(fs);
}

enum fs_type filesystem_type(const struct filesystem *fs)
{
    return fs->type;
}

int filesystem_read_file(struct filesystem *fs, const char *path, size_t max, struct buffer *ret,
                         struct error *err)
{
    return fs->ops->read_file(fs, path, max, ret, err);
}

bool filesystem_exists(struct filesystem *fs, const char *path)
{
    return fs->ops->exists(fs, path);
}

int filesystem_list(struct filesystem *fs, const char *path, char ***ret, struct error *err)
{
    return fs->ops->list(fs, path, ret, err);
}

int filesystem_write_file(struct filesystem *fs, const char *path, struct bytes content,
                          int64_t mtime, struct error *err)
{
    if (!fs->writable)
        return error_errno(err, EROFS, "%s: %s", fs->d->name, path);
    return fs->ops->write_file(fs, path, content, mtime, err);
}

int filesystem_used(struct filesystem *fs, blockdev_extent_fn fn, void *arg, struct error *err)
{
    if (!fs->ops->used)
        return error_set(err, EOPNOTSUPP, "%s: free blocks are known of ext filesystems only",
                         fs->d->name);
    return fs->ops->used(fs, fn, arg, err);
}

uint64_t filesystem_size(const struct filesystem *fs)
{
    return fs->size;
}

uint32_t filesystem_block_size(const struct filesystem *fs)
{
    return fs->block_size;
}

int filesystem_uuid(const struct filesystem *fs, uint8_t ret[16])
{
    if (!fs->has_uuid)
        return -ENODATA;
    memcpy(ret, fs->uuid, 16);
    return 0;
}

int names_add(struct names *n, const char *name, size_t length)
{
    if (n->count == NAMES_MAX)
        return -EFBIG;
    if (n->count % 64 == 0) {
        char **more = realloc(n->list, (n->count + 64 + 1) * sizeof(*more));
        if (!more)
            return -ENOMEM;
        n->list = more;
        n->list[n->count] = NULL;
    }
    n->list[n->count] = strndup(name, length);
    if (!n->list[n->count])
        return -ENOMEM;
    n->list[++n->count] = NULL;
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void names_sort(struct names *n)
{
    if (n->count)
        qsort(n->list, n->count, sizeof(*n->list), by_bytes);
}

void names_free(struct names *n)
{
    strv_free(n->list);
    *n = (struct names){0};
}

void strv_free(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}
