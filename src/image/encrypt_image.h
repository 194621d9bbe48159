/* Carries out an image plan: a new image beside the input, which is only read. */
#ifndef ENCROOT_IMAGE_ENCRYPT_IMAGE_H
#define ENCROOT_IMAGE_ENCRYPT_IMAGE_H

#include "disk/encrypt.h"
#include "image/image_plan.h"

struct image_target {
    const char *path;           /* of the image */
    const char *reference_path; /* of its hash.json */
    enum image_format format;
    bool full;    /* free blocks of the root filesystem too */
    bool replace; /* existing files */
};

/*
 * Both files appear whole, or neither. On failure (-ECANCELED when the progress function says so)
 * nothing is left. `secret` as in the plan's request.
 */
int image_perform(struct image_plan *p, const struct secret *secret, const struct image_target *t,
                  const struct progress *progress, struct encrypt_stats *ret,
                  struct error *err) _must_use_;

#endif
