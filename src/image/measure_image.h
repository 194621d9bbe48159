/* Reference values of an image as it is, encrypted by encroot or not. */
#ifndef ENCROOT_IMAGE_MEASURE_IMAGE_H
#define ENCROOT_IMAGE_MEASURE_IMAGE_H

#include "image/bootpath.h"
#include "image/bootplan.h"
#include "measure/reference.h"

/* Which entries boot, by the rules of bootplan.h; `l` has its boot filesystems found. */
int boot_entries(struct bootplan *ret, struct layout *l, const struct bootpath *p,
                 struct error *err) _must_use_;

/* What the boot of those entries measures. */
int measure_entries(struct reference_values *ret, struct layout *l, const struct bootpath *p,
                    const struct bootplan *plan, struct error *err) _must_use_;

#endif
