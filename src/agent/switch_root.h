/* Mount the root filesystem and hand the machine over to the guest's own init. */
#ifndef ENCROOT_AGENT_SWITCH_ROOT_H
#define ENCROOT_AGENT_SWITCH_ROOT_H

#include "protocol/agent_config.h"

#include <sys/types.h>

/* On SYSROOT, as the configuration says; fails when there is no init in it. */
int root_mount(const struct agent_config *c, struct error *err) _must_use_;
void root_unmount(void);

/*
 * What udev in the guest must know about a device-mapper device that it did not see born:
 * without it, it takes the device for unfinished and makes no links to it.
 */
int root_tell_udev(dev_t mapping, struct error *err) _must_use_;

/*
 * Move the kernel's filesystems, make SYSROOT the root, free the initramfs's memory and execute
 * init with the arguments that the kernel gave. Returns only when it failed.
 */
int switch_root(char *const argv[], struct error *err);

/*
 * rootflags= as mount(2) wants them: flags of the VFS in one number, the rest as text for the
 * filesystem (`data`, as long as `text`, with a NUL).
 */
unsigned long root_options(const char *text, char *data);

#endif
