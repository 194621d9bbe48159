/* An open ext filesystem: filesystem_ext.c reads, ext_write.c writes. */
#ifndef ENCROOT_DISK_EXT_INTERNAL_H
#define ENCROOT_DISK_EXT_INTERNAL_H

#include "disk/filesystem_internal.h"
#include "disk/ext_io.h"

struct ext {
    struct filesystem fs;
    ext2_filsys e2;
    struct error io; /* of the last failed read or write */
};

/* The error of an ext2fs call that was about `path`. Returns a negative errno. */
int ext_error(struct ext *x, errcode_t code, const char *path, struct error *err);

/* The inode that `path` leads to, symbolic links followed. */
int ext_find(struct ext *x, const char *path, ext2_ino_t *ret, struct error *err) _must_use_;

int ext_write_file(struct filesystem *fs, const char *path, struct bytes content, int64_t mtime,
                   struct error *err) _must_use_;

#endif
