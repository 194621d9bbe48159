/*
 * The files of a filesystem inside an image, without mounting it. ext2/3/4 by libext2fs (through
 * an io_manager over struct blockdev), FAT by mtools. Paths are absolute inside the filesystem;
 * symbolic links are followed inside it and never lead out of it.
 */
#ifndef ENCROOT_DISK_FILESYSTEM_H
#define ENCROOT_DISK_FILESYSTEM_H

#include "disk/blockdev.h"

enum fs_type { FS_UNKNOWN, FS_EXT, FS_FAT, FS_LUKS, FS_SWAP, FS_XFS, FS_BTRFS, FS_LVM, FS_OTHER };

struct fs_info {
    enum fs_type type;
    char type_name[32]; /* libblkid's: "ext4", "vfat", "crypto_LUKS"; "" if nothing was found */
    char uuid[64];      /* libblkid's text; "" if none */
    char label[128];
};

/* Look at superblocks only (libblkid). Nothing found is FS_UNKNOWN, not an error. */
int filesystem_probe(struct fs_info *ret, struct blockdev *d, struct error *err) _must_use_;

struct filesystem;

/*
 * Open. A dirty ext journal is -EUCLEAN with a hint (boot the guest once and shut it down, or
 * e2fsck -f): never ignored. `writable` is for boot filesystems of a new image only.
 */
int filesystem_open(struct filesystem **ret, struct blockdev *d, bool writable,
                    struct error *err) _must_use_;
/* Writes back what is pending when writable. */
int filesystem_close(struct filesystem *fs, struct error *err) _must_use_;
void filesystem_abort(struct filesystem *fs); /* NULL allowed; drops what is pending */
static inline void cleanup_filesystem(struct filesystem **fs)
{
    filesystem_abort(*fs);
}
#define _filesystem_ _cleanup_(cleanup_filesystem)

enum fs_type filesystem_type(const struct filesystem *fs);
/* -ENOENT when missing, -EFBIG beyond `max`. One NUL byte follows the content, uncounted. */
int filesystem_read_file(struct filesystem *fs, const char *path, size_t max, struct buffer *ret,
                         struct error *err) _must_use_;
bool filesystem_exists(struct filesystem *fs, const char *path);
/* Names in a folder (without . and ..), sorted bytewise. NULL-terminated; free with strv_free. */
int filesystem_list(struct filesystem *fs, const char *path, char ***ret,
                    struct error *err) _must_use_;
/*
 * Create or replace a regular file, mode 0600, owner 0:0, all times = `mtime` (so that images
 * are reproducible). The folder must exist. -ENOSPC names the bytes needed and free.
 */
int filesystem_write_file(struct filesystem *fs, const char *path, struct bytes content,
                          int64_t mtime, struct error *err) _must_use_;

void strv_free(char **v); /* NULL allowed */

/*
 * Which bytes does the filesystem use? Calls fn for each run, in ascending order, covering all of
 * the filesystem; `hole` = free according to the filesystem itself. ext only; -EOPNOTSUPP else.
 */
int filesystem_used(struct filesystem *fs, blockdev_extent_fn fn, void *arg,
                    struct error *err) _must_use_;
/* Bytes from the start of the partition that belong to the filesystem; block size in bytes. */
uint64_t filesystem_size(const struct filesystem *fs);
uint32_t filesystem_block_size(const struct filesystem *fs);
/* The filesystem's UUID as bytes; -ENODATA if it has none. */
int filesystem_uuid(const struct filesystem *fs, uint8_t ret[16]);

#endif
