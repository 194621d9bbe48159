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
 * Both files are written and synced first and get their names last, one right after the other. On
 * failure (-ECANCELED when the progress function says so) nothing is left; but if `replace` is set
 * and the image cannot get its name, the new references stay in place of the old. `secret` as in
 * the plan's request.
 */
int image_perform(struct image_plan *p, const struct secret *secret, const struct image_target *t,
                  const struct progress *progress, struct encrypt_stats *ret,
                  struct error *err) _must_use_;

#endif
