/* A raw image: the file is the disk. */
#include "disk/blockdev_internal.h"

#include <inttypes.h>
#include <sys/stat.h>

struct raw {
    struct blockdev d;
    int fd;
    bool writable;
};

static int raw_read(struct blockdev *d, void *p, size_t n, uint64_t at, struct error *err)
{
    struct raw *raw = (struct raw *)d;
    int r = pread_exact(raw->fd, p, n, (off_t)at);
    return r < 0 ? error_errno(err, -r, "%s: reading %zu bytes at %" PRIu64, d->name, n, at) : 0;
}

static int raw_write(struct blockdev *d, const void *p, size_t n, uint64_t at, struct error *err)
{
    struct raw *raw = (struct raw *)d;
    int r = raw->writable ? pwrite_exact(raw->fd, p, n, (off_t)at) : -EROFS;
    if (r < 0)
        return error_errno(err, -r, "%s: writing %zu bytes at %" PRIu64, d->name, n, at);
    begin_writeback(raw->fd, at, n);
    return 0;
}

static int raw_extents(struct blockdev *d, uint64_t at, uint64_t n, blockdev_extent_fn fn,
                       void *arg, struct error *err)
{
    struct raw *raw = (struct raw *)d;
    const uint64_t end = at + n;
    while (at < end) {
        off_t data = lseek(raw->fd, (off_t)at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return fn(arg, at, end - at, true); /* a hole up to the end of the file */
        if (data < 0)
            return error_errno(err, errno, "%s: looking for holes at %" PRIu64, d->name, at);
        if ((uint64_t)data > at) {
            uint64_t hole_end = (uint64_t)data < end ? (uint64_t)data : end;
            int r = fn(arg, at, hole_end - at, true);
            if (r != 0)
                return r;
            at = hole_end;
            continue;
        }
        off_t hole = lseek(raw->fd, (off_t)at, SEEK_HOLE);
        if (hole < 0)
            return error_errno(err, errno, "%s: looking for holes at %" PRIu64, d->name, at);
        uint64_t data_end = (uint64_t)hole < end ? (uint64_t)hole : end;
        if (data_end <= at)
            return error_set(err, EIO, "%s: changed while it was read", d->name);
        int r = fn(arg, at, data_end - at, false);
        if (r != 0)
            return r;
        at = data_end;
    }
    return 0;
}

static int raw_flush(struct blockdev *d, struct error *err)
{
    return 0; /* everything is in the file already */
}

static void raw_close(struct blockdev *d)
{
    struct raw *raw = (struct raw *)d;
    close(raw->fd);
    free(raw);
}

static const struct blockdev_ops raw_ops = {.read = raw_read,
                                            .write = raw_write,
                                            .extents = raw_extents,
                                            .flush = raw_flush,
                                            .close = raw_close};

int blockdev_raw(struct blockdev **ret, int fd, const char *name, bool writable, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", name);
    _free_ struct raw *raw = calloc(1, sizeof(*raw));
    if (!raw || blockdev_init(&raw->d, &raw_ops, (uint64_t)st.st_size, name) < 0)
        return error_set(err, ENOMEM, "%s: out of memory", name);
    raw->fd = fd;
    raw->writable = writable;
    *ret = &TAKE_PTR(raw)->d;
    return 0;
}
