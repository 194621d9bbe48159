/* Partition tables, by libfdisk. */
#ifndef ENCROOT_DISK_PARTITION_H
#define ENCROOT_DISK_PARTITION_H

#include "disk/blockdev.h"

#define PARTITIONS_MAX 128

struct partition {
    unsigned number;       /* as people count: 1.. (GPT entry number) */
    uint64_t start;        /* bytes */
    uint64_t size;         /* bytes */
    uint8_t uuid[16];      /* unique partition GUID, text order */
    uint8_t type_uuid[16]; /* partition type GUID, text order */
    uint64_t attrs;        /* UEFI 5.3.3, as one number */
    char name[110];        /* UTF-8 */
};

struct partition_table {
    uint8_t disk_uuid[16];
    uint64_t disk_size; /* bytes */
    struct partition parts[PARTITIONS_MAX];
    size_t count; /* in order of number */
};

/*
 * -ENODATA with a clear text when there is no GPT (an MBR is named as such). What is
 * returned is sane: every partition lies inside the disk and none overlaps another (else -EBADMSG).
 */
int partition_table_read(struct partition_table *ret, struct blockdev *d,
                         struct error *err) _must_use_;
/*
 * Write a GPT that equals `t` (both copies and the protective MBR) to `d`. The boot code in the
 * first 440 bytes of `d` is left as it is.
 */
int partition_table_write(const struct partition_table *t, struct blockdev *d,
                          struct error *err) _must_use_;

#endif
