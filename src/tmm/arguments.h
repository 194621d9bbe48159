/*
 * QEMU's command line, as far as one must understand it to say which machine it describes:
 * which options take a value, which describe the machine and which only the host's side of it.
 * What is not known describes the machine: then the worst case is a RIM that differs.
 */
#ifndef ENCROOT_TMM_ARGUMENTS_H
#define ENCROOT_TMM_ARGUMENTS_H

#include <stdbool.h>

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

#endif
