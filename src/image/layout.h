/*
 * Which partition of an image is what: by its partition table and by the guest's own
 * configuration, never by a fixed number. Reads only.
 */
#ifndef ENCROOT_IMAGE_LAYOUT_H
#define ENCROOT_IMAGE_LAYOUT_H

#include "disk/blockdev.h"
#include "disk/filesystem.h"
#include "disk/partition.h"
#include "image/fstab.h"

struct layout_partition {
    struct fs_info info;
    struct blockdev *window;
    struct filesystem *fs;    /* once opened */
    struct error *open_error; /* why it could not be */
};

#define LAYOUT_NONE (-1)

struct layout {
    char *path;
    struct blockdev *disk;
    enum image_format format;
    struct partition_table table;
    struct layout_partition *parts; /* table.count of them */
    struct fstab fstab;             /* of the root, once found */
    int root, boot, esp;            /* indices in `parts`, or LAYOUT_NONE */
};

/* Open the image and look at every partition. -EINVAL for what is no disk image with a GPT. */
int layout_open(struct layout *ret, const char *path, struct error *err) _must_use_;
void layout_close(struct layout *l);
#define _layout_ _cleanup_(layout_close)

/*
 * Find the root: the ext partition with /etc/fstab and os-release whose fstab says that it is
 * "/". `number` overrides (0: do not). -ENOENT says what each partition is; -ENOTUNIQ names the
 * candidates; -EALREADY when the image is encrypted with LUKS already.
 */
int layout_find_root(struct layout *l, unsigned number, struct error *err) _must_use_;
/*
 * Find /boot and the ESP: by the root's fstab where the root is known, else by what is on them.
 * -ENOENT, with a hint, when /boot is inside the root.
 */
int layout_find_boot(struct layout *l, struct error *err) _must_use_;

/* Open the filesystem of partition `index` for reading (once); errors name the partition. */
int layout_filesystem(struct layout *l, int index, struct filesystem **ret,
                      struct error *err) _must_use_;

/* A file that may be missing (then the buffer stays empty). */
int read_if_there(struct filesystem *fs, const char *path, size_t max, struct buffer *ret,
                  struct error *err) _must_use_;

/* "partition 3 (ext4)" */
#define PARTITION_TEXT 160
const char *layout_describe(const struct layout *l, int index, char out[PARTITION_TEXT]);

#endif
