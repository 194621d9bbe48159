/* The drivers behind disk/filesystem.h: one file each, one line in filesystem.c's table. */
#ifndef ENCROOT_DISK_FILESYSTEM_INTERNAL_H
#define ENCROOT_DISK_FILESYSTEM_INTERNAL_H

#include "disk/filesystem.h"

struct filesystem_ops {
    int (*read_file)(struct filesystem *fs, const char *path, size_t max, struct buffer *ret,
                     struct error *err);
    bool (*exists)(struct filesystem *fs, const char *path);
    int (*list)(struct filesystem *fs, const char *path, char ***ret, struct error *err);
    int (*write_file)(struct filesystem *fs, const char *path, struct bytes content, int64_t mtime,
                      struct error *err);
    /* NULL: the driver cannot tell */
    int (*used)(struct filesystem *fs, blockdev_extent_fn fn, void *arg, struct error *err);
    /* Write back what is pending; the filesystem stays open. */
    int (*flush)(struct filesystem *fs, struct error *err);
    void (*free)(struct filesystem *fs);
};

struct filesystem {
    const struct filesystem_ops *ops;
    struct blockdev *d;
    enum fs_type type;
    bool writable;
    uint64_t size;
    uint32_t block_size;
    bool has_uuid;
    uint8_t uuid[16];
};

int ext_open(struct filesystem **ret, struct blockdev *d, bool writable,
             struct error *err) _must_use_;
int fat_open(struct filesystem **ret, struct blockdev *d, bool writable,
             struct error *err) _must_use_;

/* A list of strings that grows; ends in NULL at any time. */
struct names {
    char **list;
    size_t count;
};
/* -EFBIG beyond a bound that no honest folder reaches. */
int names_add(struct names *n, const char *name, size_t length) _must_use_;
void names_sort(struct names *n);
void names_free(struct names *n);
#define _names_ _cleanup_(names_free)

#endif
