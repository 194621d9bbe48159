/* The reference values of an image file, for the commands that need them. */
#ifndef ENCROOT_CLI_IMAGE_VALUES_H
#define ENCROOT_CLI_IMAGE_VALUES_H

#include "image/bootplan.h"
#include "measure/reference.h"

/*
 * Measure the image at `path`, encrypted or not. `root_partition` 0: found. `plan` receives the
 * menu entries, those that are left out among them. `volume` receives the UUID of its LUKS
 * partition, if it has exactly one; else it becomes the empty text.
 */
int image_values(struct reference_values *ret, struct bootplan *plan, char volume[64],
                 const char *path, unsigned root_partition, struct error *err) _must_use_;

#endif
