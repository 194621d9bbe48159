/* The modules of one kernel, from the root filesystem: planned, read, decompressed. */
#ifndef ENCROOT_IMAGE_KERNEL_MODULES_H
#define ENCROOT_IMAGE_KERNEL_MODULES_H

#include "disk/filesystem.h"
#include "image/initramfs.h"
#include "image/modules.h"

struct kernel_modules {
    struct modules_plan plan;
    struct buffer *files;             /* one for each of the plan */
    struct initramfs_module *content; /* the same, for the initramfs */
};

int kernel_modules_read(struct kernel_modules *ret, struct filesystem *root, const char *version,
                        struct error *err) _must_use_;
void kernel_modules_free(struct kernel_modules *m);
#define _kernel_modules_ _cleanup_(kernel_modules_free)

/* The list for an agent_config; it borrows the strings: free only the array. */
int kernel_modules_for_agent(const struct kernel_modules *m, struct agent_module **ret,
                             struct error *err) _must_use_;

#endif
