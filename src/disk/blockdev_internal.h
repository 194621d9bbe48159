/* The drivers behind disk/blockdev.h. */
#ifndef ENCROOT_DISK_BLOCKDEV_INTERNAL_H
#define ENCROOT_DISK_BLOCKDEV_INTERNAL_H

#include "disk/blockdev.h"
#include "disk/qcow2.h"

#include <fcntl.h>

/* Takes `fd` over when it succeeds. */
int blockdev_raw(struct blockdev **ret, int fd, const char *name, bool writable,
                 struct error *err) _must_use_;

/*
 * An existing qcow2 image, by a qemu-nbd child on `fd`, which it inherits; `fd` is not kept. The
 * caller has looked at the header (disk/qcow2.h) before: qemu itself follows paths written in it.
 */
int blockdev_nbd(struct blockdev **ret, int fd, const char *name, struct error *err) _must_use_;

/* An existing qcow2 image with a map. Takes `fd` and the map over when it succeeds. */
int blockdev_qcow2_mapped(struct blockdev **ret, int fd, const char *name,
                          const struct qcow2_map *map, struct error *err) _must_use_;

/* A new qcow2 image. Takes `fd` over when it succeeds. */
int blockdev_qcow2_create(struct blockdev **ret, int fd, const char *name, uint64_t size,
                          struct error *err) _must_use_;

/* Fill in what all drivers share. Returns -ENOMEM without an error text. */
int blockdev_init(struct blockdev *d, const struct blockdev_ops *ops, uint64_t size,
                  const char *name);

/*
 * Have the kernel begin to write this part of a file to the disk, and go on. An image is done when
 * it is on the disk: without this, all of the writing would wait until all of the encryption is
 * done. Only a hint: whether it worked is what fsync tells in the end.
 */
static inline void begin_writeback(int fd, uint64_t at, size_t n)
{
    (void)sync_file_range(fd, (off64_t)at, (off64_t)n, SYNC_FILE_RANGE_WRITE);
}

#endif
