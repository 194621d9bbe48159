/* What grub-mkimage put into a GRUB program beside its code. */
#ifndef ENCROOT_MEASURE_GRUB_IMAGE_H
#define ENCROOT_MEASURE_GRUB_IMAGE_H

#include "base/bytes.h"

/* The disk in memory that GRUB calls (memdisk), a view into `program`; empty if it has none. */
struct bytes grub_image_memdisk(struct bytes program);

#endif
