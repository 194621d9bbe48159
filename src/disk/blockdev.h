/*
 * A block device is bytes behind a few operations: a raw file or a qcow2 image (a compressed one is
 * read by qemu-nbd, over libnbd). Reads and writes may be issued from several threads at once.
 */
#ifndef ENCROOT_DISK_BLOCKDEV_H
#define ENCROOT_DISK_BLOCKDEV_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/io.h"

enum image_format { IMAGE_RAW, IMAGE_QCOW2 };
const char *image_format_name(enum image_format f);

struct blockdev {
    const struct blockdev_ops *ops;
    uint64_t size; /* bytes */
    char *name;    /* for errors */
};

/* Called for each run of [at, at + length) that is all `hole` (reads as zeros, not stored) or
 * not. Return non-zero to stop; it is passed on. */
typedef int (*blockdev_extent_fn)(void *arg, uint64_t at, uint64_t length, bool hole);

struct blockdev_ops {
    int (*read)(struct blockdev *d, void *p, size_t n, uint64_t at, struct error *err);
    int (*write)(struct blockdev *d, const void *p, size_t n, uint64_t at, struct error *err);
    int (*extents)(struct blockdev *d, uint64_t at, uint64_t length, blockdev_extent_fn fn,
                   void *arg, struct error *err);
    int (*flush)(struct blockdev *d, struct error *err);
    void (*close)(struct blockdev *d);
};

/*
 * Open an existing image read-only; the file is never written. The format is found by content
 * (never by name); a qcow2 with a backing file, an external data file or encryption is refused,
 * since opening those would follow host paths written inside the image.
 */
int blockdev_open(struct blockdev **ret, const char *path, enum image_format *ret_format,
                  struct error *err) _must_use_;

/*
 * A new, empty image of `size` bytes in the open file `fd` (kept open by the caller). A qcow2 file
 * is an image only after a flush.
 */
int blockdev_create(struct blockdev **ret, int fd, const char *name, enum image_format format,
                    uint64_t size, struct error *err) _must_use_;

/* A raw device over an open file (kept open by the caller) as it is; `writable` may write to it. */
int blockdev_from_fd(struct blockdev **ret, int fd, const char *name, bool writable,
                     struct error *err) _must_use_;

/* A window of `size` bytes at `at`; the parent must outlive it. For partitions. */
int blockdev_window(struct blockdev **ret, struct blockdev *parent, uint64_t at, uint64_t size,
                    struct error *err) _must_use_;

/* All of [at, at + n) or an error; a range beyond the end of the device is -EINVAL. */
int blockdev_read(struct blockdev *d, void *p, size_t n, uint64_t at, struct error *err) _must_use_;
/* -EROFS on an image opened with blockdev_open. */
int blockdev_write(struct blockdev *d, const void *p, size_t n, uint64_t at,
                   struct error *err) _must_use_;
/* Ascending, without gaps; neighbouring runs may be of the same kind. */
int blockdev_extents(struct blockdev *d, uint64_t at, uint64_t n, blockdev_extent_fn fn, void *arg,
                     struct error *err) _must_use_;
/* After success everything written is in the file (but not necessarily fsynced). */
int blockdev_flush(struct blockdev *d, struct error *err) _must_use_;
/* NULL is allowed. Does not flush. */
void blockdev_close(struct blockdev *d);
static inline void cleanup_blockdev(struct blockdev **d)
{
    blockdev_close(*d);
}
#define _blockdev_ _cleanup_(cleanup_blockdev)

#endif
