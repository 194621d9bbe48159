/*
 * Doors that encryption does not close: things in the guest's root filesystem through which the
 * host gets in once the root is open. They are the image owner's choice, so they are named, not
 * removed.
 */
#ifndef ENCROOT_IMAGE_DOORS_H
#define ENCROOT_IMAGE_DOORS_H

#include "disk/filesystem.h"

struct door {
    const char *name; /* "qemu-guest-agent" */
    const char *why;  /* one sentence */
};

/* Calls fn for each door that stands open in `root`. fn returning non-zero stops; passed on. */
int doors_find(struct filesystem *root, int (*fn)(void *arg, const struct door *d), void *arg);

#endif
