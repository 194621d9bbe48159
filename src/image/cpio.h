/*
 * A cpio archive in the "newc" format (Linux, Documentation/driver-api/early-userspace/
 * buffer-format.rst), the same bytes for the same files: owner 0:0, no times, inodes counted.
 */
#ifndef ENCROOT_IMAGE_CPIO_H
#define ENCROOT_IMAGE_CPIO_H

#include "base/bytes.h"

struct cpio {
    struct buffer *out;
    unsigned files;
};

/* Paths are absolute; folders must come before what is in them. 0, -ENOMEM or -EFBIG. */
int cpio_folder(struct cpio *c, const char *path) _must_use_;
int cpio_file(struct cpio *c, const char *path, unsigned mode, struct bytes content) _must_use_;
int cpio_chardev(struct cpio *c, const char *path, unsigned mode, unsigned major,
                 unsigned minor) _must_use_;
int cpio_end(struct cpio *c) _must_use_;

#endif
