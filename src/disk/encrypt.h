/*
 * The streaming copy. encrypt_volume reads a filesystem, encrypts it on all cores with AES-256-XTS
 * and writes it behind a LUKS2 header; copy_range moves plain partitions. Memory is bounded
 * whatever the size.
 *
 * What opens the result, with S = offset of the data area and N = its length in 512-byte sectors:
 *     0 N crypt aes-xts-plain64 KEY 0 DEVICE S                      (sector_size 512)
 *     0 N crypt aes-xts-plain64 KEY 0 DEVICE S 1 sector_size:4096   (never iv_large_sectors)
 */
#ifndef ENCROOT_DISK_ENCRYPT_H
#define ENCROOT_DISK_ENCRYPT_H

#include "base/secret.h"
#include "disk/blockdev.h"
#include "disk/filesystem.h"

struct progress {
    /* Called from one thread, about ten times a second and at the end; may be NULL. A non-zero
     * return cancels with -ECANCELED. */
    int (*report)(void *arg, const char *phase, uint64_t done, uint64_t total);
    void *arg;
};

struct encrypt_options {
    const struct secret *key; /* VOLUME_KEY_SIZE bytes */
    uint32_t sector_size;     /* 512 or 4096 */
    bool full;                /* free blocks too: read and encrypted as they are */
    unsigned threads;         /* 0: one a core */
};

struct encrypt_stats {
    uint64_t encrypted; /* bytes written */
    uint64_t skipped;   /* bytes the filesystem says are free */
};

/*
 * `from`: the plain partition, whose filesystem is open as `fs` (NULL with full); `to`: where the
 * data area starts. Both at least `size` bytes; `size` a multiple of the sector size.
 */
int encrypt_volume(struct blockdev *from, struct filesystem *fs, struct blockdev *to, uint64_t size,
                   const struct encrypt_options *o, const struct progress *p,
                   struct encrypt_stats *ret, struct error *err) _must_use_;

/* Copy [at, at+size) of `from` to the same place of `to`; holes stay holes. */
int copy_range(struct blockdev *from, struct blockdev *to, uint64_t from_at, uint64_t to_at,
               uint64_t size, const struct progress *p, struct error *err) _must_use_;

#endif
