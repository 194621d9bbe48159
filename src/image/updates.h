/*
 * What in the guest would write its boot files anew. A kernel or boot loader that the reference
 * values do not know gets no key, so the owner hears of it before it happens (ATTACKS, B4).
 */
#ifndef ENCROOT_IMAGE_UPDATES_H
#define ENCROOT_IMAGE_UPDATES_H

#include "disk/filesystem.h"

/* One clause, "... (unattended-upgrades)", on what comes first; NULL when nothing was found. */
const char *updates_find(struct filesystem *root);

#endif
