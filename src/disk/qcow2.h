/*
 * What is read of a qcow2 image before qemu is let near it (QEMU docs/interop/qcow2.txt). qemu
 * follows paths that are written in the header, and reads what lies beyond the end of a truncated
 * file as zeros without a word; both are refused here.
 */
#ifndef ENCROOT_DISK_QCOW2_H
#define ENCROOT_DISK_QCOW2_H

#include "base/bytes.h"
#include "base/error.h"

#define QCOW2_MAGIC "QFI\xfb"
#define QCOW2_HEADER_SIZE 104 /* of version 3 without extensions; version 2 has 72 */

struct qcow2_header {
    uint32_t version;
    uint32_t cluster_bits;
    uint64_t size; /* of the guest's disk */
    uint64_t l1_at;
    uint32_t l1_count;
    uint64_t refcount_at;
    uint32_t refcount_clusters;
    uint32_t l2_entry_size; /* 8, or 16 with subclusters */
};

/*
 * Parse the start of the file (QCOW2_HEADER_SIZE bytes at least). -EMEDIUMTYPE for images that are
 * sound but refused (backing file, external data file, encryption, unknown features), -EBADMSG for
 * what cannot be.
 */
int qcow2_header_parse(struct qcow2_header *ret, struct bytes in, struct error *err) _must_use_;

/*
 * One L2 table, which maps the guest's bytes from `guest_at` on: everything it points to must lie
 * inside a file of `file_size` bytes. -ENODATA if not.
 */
int qcow2_check_l2(const struct qcow2_header *h, struct bytes table, uint64_t guest_at,
                   uint64_t file_size, struct error *err) _must_use_;

/* Where each cluster of the guest's disk is in the file. */
struct qcow2_map {
    uint64_t size;           /* of the guest's disk */
    _Atomic uint32_t *where; /* cluster of the file, 0: reads as zeros; NULL: not as simple */
};
#define QCOW2_MAP_CLUSTER_BITS 16 /* qemu's default, and the only size that is mapped */

/*
 * The header and all tables of the open file. Errors start with `name`. For images without
 * compression and other rarities the map is filled in; free its `where`.
 */
int qcow2_check_file(int fd, const char *name, struct qcow2_map *ret, struct error *err) _must_use_;

#endif
