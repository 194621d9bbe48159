/*
 * Which kernel modules the agent needs, in which order, from what depmod(8) wrote about a kernel:
 * modules.dep, modules.alias, modules.softdep, modules.builtin.
 */
#ifndef ENCROOT_IMAGE_MODULES_H
#define ENCROOT_IMAGE_MODULES_H

#include "base/bytes.h"
#include "base/error.h"

#define MODULES_LISTS_MAX ((size_t)16 << 20) /* bytes of one of the lists */
#define MODULE_FILE_MAX ((size_t)64 << 20)

struct modules_lists {
    struct bytes dep;
    struct bytes alias;
    struct bytes softdep;
    struct bytes builtin;
};

struct planned_module {
    char *name;     /* "dm_crypt" */
    char *file;     /* below /lib/modules/VERSION: "kernel/drivers/md/dm-crypt.ko.xz" */
    char *path;     /* in the initramfs: "/lib/modules/dm-crypt.ko" */
    char **aliases; /* as struct agent_module */
    char **depends;
};

struct modules_plan {
    struct planned_module *list; /* each after everything it depends on */
    size_t count;
};

/* -EBADMSG names the line. -ENOENT when a module without which no volume can be opened is neither
 * there nor built in. */
int modules_plan_make(struct modules_plan *ret, const struct modules_lists *lists,
                      struct error *err) _must_use_;
void modules_plan_free(struct modules_plan *p);
#define _modules_plan_ _cleanup_(modules_plan_free)

#endif
