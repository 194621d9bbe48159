/*
 * libfdisk and libblkid want a descriptor of the device itself. They get a sketch: an unnamed
 * sparse file in memory, as long as the device, with only its head and tail copied.
 */
#ifndef ENCROOT_DISK_SKETCH_H
#define ENCROOT_DISK_SKETCH_H

#include "disk/blockdev.h"

/* Returns a descriptor, or a negative errno. */
int sketch_open(struct blockdev *d, uint64_t head, uint64_t tail, struct error *err) _must_use_;

#endif
