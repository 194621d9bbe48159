/* The first steps of PID 1: kernel filesystems, standard descriptors, and closing the ways in
 * which the host's console could interfere. */
#ifndef ENCROOT_AGENT_EARLY_H
#define ENCROOT_AGENT_EARLY_H

#include "base/error.h"

int early_mount(struct error *err) _must_use_;
/* Ctrl-Alt-Del, SysRq and SIGPIPE do nothing; no core dumps; a crash reboots. */
void early_guard(void);
/* As the kernel had it, for the guest's init. */
void early_unguard(void);

#endif
