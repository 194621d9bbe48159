/* The values of QEMU's options: lists of key=value with commas between, and -smp. */
#ifndef ENCROOT_MEASURE_QEMU_OPTIONS_H
#define ENCROOT_MEASURE_QEMU_OPTIONS_H

#include "base/bytes.h"
#include "base/error.h"

/*
 * The value of `key` in QEMU's "a,key=value,key2=value2" (",," stands for a comma), as a new
 * string. NULL if it is not there or there is no memory. `key` NULL: the bare first word.
 */
char *option_value(const char *list, const char *key);
/* The same list with the value of `key` replaced (which must be there). NULL: no memory. */
char *option_replace(const char *list, const char *key, const char *value);
/* Append to `out` the members whose keys are not (or, with `only`, are) in the NULL-ended list. */
int option_filter(const char *list, const char *const keys[], bool only,
                  struct buffer *out) _must_use_;

/* The value of -smp: "4", "cpus=4,...", or the product of sockets, dies, ..., threads; 1 to
 * RIM_VCPUS_MAX. */
int vcpus_parse(const char *value, unsigned *ret, struct error *err) _must_use_;

#endif
