/* Where the root partition goes once it has a LUKS2 header in front. */
#ifndef ENCROOT_IMAGE_GROWTH_H
#define ENCROOT_IMAGE_GROWTH_H

#include "disk/partition.h"

enum growth { GROWTH_IN_PLACE, GROWTH_DISK, GROWTH_MOVED };

/*
 * `ret` = `in` with partition `index` larger by `extra` bytes (a multiple of 1 MiB): in place if
 * there is room behind it; with a larger disk if it is the last one on it; else at the end of a
 * larger disk. -EOVERFLOW for a table that cannot be.
 */
int growth_plan(struct partition_table *ret, enum growth *how, const struct partition_table *in,
                size_t index, uint64_t extra, struct error *err) _must_use_;

#endif
