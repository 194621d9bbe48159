/* What the boot of an image will measure, from the bytes that it will read. */
#ifndef ENCROOT_IMAGE_PREDICT_H
#define ENCROOT_IMAGE_PREDICT_H

#include "image/bootpath.h"
#include "measure/reference.h"

/* The programs, and the configuration files in the order in which GRUB reads them. `stub` is the
 * content of the first (unused where that is the main one), `main` that of the main one. */
int predict_boot(struct reference_values *v, const struct bootpath *p, struct bytes stub,
                 struct bytes main, struct error *err) _must_use_;

struct predicted_kernel {
    const char *version;
    const char *path;
    const char *initramfs_path; /* NULL: none */
    struct bytes kernel;
    struct bytes initramfs;
    char *const *cmdlines; /* as GRUB joins them, path included */
};
int predict_kernel(struct reference_values *v, const struct predicted_kernel *k,
                   struct error *err) _must_use_;

/* -EINVAL, naming what differs, unless every value of `given` is the one of `image`. */
int references_compare(const struct reference_values *given, const struct reference_values *image,
                       struct error *err) _must_use_;

#endif
