#include "disk/blockdev.h"
#include "disk/blockdev_internal.h"
#include "disk/qcow2.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static const char *const format_names[] = {[IMAGE_RAW] = "raw", [IMAGE_QCOW2] = "qcow2"};

const char *image_format_name(enum image_format f)
{
    return (size_t)f < ARRAY_SIZE(format_names) ? format_names[f] : "unknown";
}

/*
 * Containers we do not read. A guess by content could take one for a raw disk full of garbage, so
 * they are refused by name. The signatures are those of the formats' documents.
 */
static const struct container {
    const char *name;
    const char *magic;
    size_t magic_size;
    uint64_t at; /* from the start; FOOTER: 512 bytes before the end */
} containers[] = {
#define FOOTER UINT64_MAX
    {"VMDK", "KDMV", 4, 0},
    {"VMDK", "COWD", 4, 0},
    {"VMDK (a descriptor file)", "# Disk DescriptorFile", 21, 0},
    {"VHDX", "vhdxfile", 8, 0},
    {"VDI", "\x7f\x10\xda\xbe", 4, 64},
    {"VHD", "conectix", 8, 0},
    {"VHD", "conectix", 8, FOOTER},
    {"QED", "QED\0", 4, 0},
    {"Parallels", "WithoutFreeSpace", 16, 0},
    {"Parallels", "WithouFreSpacExt", 16, 0},
};

/* Archives and compressed files: a disk never starts like this. */
static const struct container archives[] = {
    {"gzip", "\x1f\x8b\x08", 3, 0},
    {"xz",
     "\xfd"
     "7zXZ",
     5, 0},
    {"zstd", "\x28\xb5\x2f\xfd", 4, 0},
    {"bzip2", "BZh", 3, 0},
    {"zip", "PK\x03\x04", 4, 0},
    {"tar", "ustar", 5, 257},
};

static bool has_magic(const struct container *c, struct bytes head, struct bytes footer)
{
    struct bytes in = c->at == FOOTER ? footer : head;
    uint64_t at = c->at == FOOTER ? 0 : c->at;
    return at + c->magic_size <= in.size && memcmp(in.data + at, c->magic, c->magic_size) == 0;
}

static int refuse_others(const char *path, struct bytes head, struct bytes footer,
                         struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(containers); i++)
        if (has_magic(&containers[i], head, footer))
            return error_hint(
                err, error_set(err, EMEDIUMTYPE, "%s: is a %s image", path, containers[i].name),
                "convert it first: qemu-img convert -O qcow2 %s disk.qcow2", path);
    for (size_t i = 0; i < ARRAY_SIZE(archives); i++)
        if (has_magic(&archives[i], head, footer))
            return error_hint(
                err, error_set(err, EMEDIUMTYPE, "%s: is a %s file", path, archives[i].name),
                "unpack it first; the image inside is what is wanted");
    return 0;
}

static int find_format(int fd, const char *path, enum image_format *ret, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s: expected a disk image, found %s", path,
                         S_ISDIR(st.st_mode)   ? "a folder"
                         : S_ISBLK(st.st_mode) ? "a block device"
                                               : "no regular file");
    uint64_t size = (uint64_t)st.st_size;
    uint8_t head[512] = {0}, footer[512] = {0};
    if (size < sizeof(head))
        return error_set(err, EMEDIUMTYPE, "%s: not a disk image: only %" PRIu64 " bytes long",
                         path, size);
    int r = pread_exact(fd, head, sizeof(head), 0);
    if (r == 0)
        r = pread_exact(fd, footer, sizeof(footer), (off_t)(size - sizeof(footer)));
    if (r < 0)
        return error_errno(err, -r, "%s", path);
    if (memcmp(head, QCOW2_MAGIC, 4) == 0) {
        *ret = IMAGE_QCOW2;
        return 0;
    }
    *ret = IMAGE_RAW;
    return refuse_others(path, BYTES_OF(head), BYTES_OF(footer), err);
}

/*
 * qemu marks an image that a guest may write to by locks on single bytes (block/file-posix.c:
 * RAW_LOCK_PERM_BASE, and BLK_PERM_WRITE is bit 1). What changes while it is read is no image.
 */
static int refuse_in_use(int fd, const char *path, struct error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100 + 1, .l_len = 1};
    if (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
        return 0; /* also where a filesystem knows no locks */
    int r = error_set(err, EBUSY, "%s: is in use by another program that writes to it", path);
    return error_hint(err, r, "shut the guest down that runs from it");
}

/* Takes `fd` over when it succeeds, or leaves it to be closed. */
static int open_qcow2(struct blockdev **ret, int *fd, const char *path, struct error *err)
{
    struct qcow2_map map;
    int r = qcow2_check_file(*fd, path, &map, err);
    if (r < 0)
        return r;
    if (!map.where)
        return blockdev_nbd(ret, *fd, path, err);
    r = blockdev_qcow2_mapped(ret, *fd, path, &map, err);
    if (r < 0)
        free((void *)map.where);
    else
        *fd = -1;
    return r;
}

int blockdev_open(struct blockdev **ret, const char *path, enum image_format *ret_format,
                  struct error *err)
{
    /* O_NONBLOCK: opening a FIFO must not wait for somebody to write to it. */
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    enum image_format format;
    int r = find_format(fd, path, &format, err);
    if (r < 0)
        return r;
    r = refuse_in_use(fd, path, err);
    if (r < 0)
        return r;
    if (format == IMAGE_QCOW2) {
        r = open_qcow2(ret, &fd, path, err);
    } else {
        r = blockdev_raw(ret, fd, path, false, err);
        if (r == 0)
            fd = -1; /* it is the device's now */
    }
    if (r == 0 && ret_format)
        *ret_format = format;
    return r;
}

int blockdev_create(struct blockdev **ret, int fd, const char *name, enum image_format format,
                    uint64_t size, struct error *err)
{
    if (size == 0 || size > INT64_MAX)
        return error_set(err, EINVAL, "%s: cannot be %" PRIu64 " bytes long", name, size);
    if (format == IMAGE_QCOW2) {
        _close_ int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (own < 0)
            return error_errno(err, errno, "%s", name);
        int r = blockdev_qcow2_create(ret, own, name, size, err);
        if (r == 0)
            own = -1;
        return r;
    }
    /* To nothing first: what the file held before must not show through. */
    if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0)
        return error_errno(err, errno, "%s: making it %" PRIu64 " bytes long", name, size);
    return blockdev_from_fd(ret, fd, name, true, err);
}

int blockdev_from_fd(struct blockdev **ret, int fd, const char *name, bool writable,
                     struct error *err)
{
    _close_ int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return error_errno(err, errno, "%s", name);
    int r = blockdev_raw(ret, own, name, writable, err);
    if (r == 0)
        own = -1;
    return r;
}

int blockdev_init(struct blockdev *d, const struct blockdev_ops *ops, uint64_t size,
                  const char *name)
{
    d->ops = ops;
    d->size = size;
    d->name = strdup(name);
    return d->name ? 0 : -ENOMEM;
}

static int check_range(const struct blockdev *d, uint64_t n, uint64_t at, const char *verb,
                       struct error *err)
{
    if (at <= d->size && n <= d->size - at)
        return 0;
    return error_set(err, EINVAL,
                     "%s: %s %" PRIu64 " bytes at %" PRIu64 ", beyond its end at %" PRIu64, d->name,
                     verb, n, at, d->size);
}

int blockdev_read(struct blockdev *d, void *p, size_t n, uint64_t at, struct error *err)
{
    int r = check_range(d, n, at, "reading", err);
    return r < 0 || n == 0 ? r : d->ops->read(d, p, n, at, err);
}

int blockdev_write(struct blockdev *d, const void *p, size_t n, uint64_t at, struct error *err)
{
    int r = check_range(d, n, at, "writing", err);
    return r < 0 || n == 0 ? r : d->ops->write(d, p, n, at, err);
}

int blockdev_extents(struct blockdev *d, uint64_t at, uint64_t n, blockdev_extent_fn fn, void *arg,
                     struct error *err)
{
    int r = check_range(d, n, at, "mapping", err);
    return r < 0 || n == 0 ? r : d->ops->extents(d, at, n, fn, arg, err);
}

int blockdev_flush(struct blockdev *d, struct error *err)
{
    return d->ops->flush(d, err);
}

void blockdev_close(struct blockdev *d)
{
    if (!d)
        return;
    char *name = d->name;
    d->ops->close(d);
    free(name);
}
