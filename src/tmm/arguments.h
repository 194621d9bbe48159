/*
 * QEMU's command line, as far as one must understand it to say which machine it describes:
 * which options take a value, which describe the machine and which only the host's side of it.
 * What is not known describes the machine: then the worst case is a RIM that differs.
 */
#ifndef ENCROOT_TMM_ARGUMENTS_H
#define ENCROOT_TMM_ARGUMENTS_H

#include "base/bytes.h"
#include "base/error.h"

enum option_class {
    OPTION_MACHINE = 0,  /* belongs to the description, value and all */
    OPTION_HOST,         /* a back end, a console, a debugging aid: left out */
    OPTION_MACHINE_KEYS, /* key=value list, less the keys that name back ends */
    OPTION_DRIVE,        /* -drive: a device only if it makes one by itself */
    OPTION_NIC,          /* -nic, -net: the model alone */
    OPTION_NAME_ONLY,    /* -hda FILE: that there is one, not which */
    OPTION_REFUSED,      /* cannot be measured, or would undo the measurement */
};

struct option {
    const char *name; /* without dashes */
    enum option_class class;
    bool flag;          /* takes no value */
    const char *reason; /* of OPTION_REFUSED */
};

/* Never NULL: an unknown option is OPTION_MACHINE with a value. `argument` may begin with -, --. */
const struct option *option_find(const char *argument);

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

#define VCPUS_MAX 512
/* The value of -smp: "4", "cpus=4,...", or the product of sockets, dies, ..., threads. */
int vcpus_parse(const char *value, unsigned *ret, struct error *err) _must_use_;

#endif
