/*
 * What a process may still do once it is set up: no new privileges, not dumpable, memory locked
 * where secrets pass, and a seccomp filter (libseccomp) that allows what its role's line in
 * confine.c names and kills the process for the rest. Fronts and appraisers can open, connect,
 * trace and signal nothing.
 */
#ifndef ENCROOT_DAEMON_CONFINE_H
#define ENCROOT_DAEMON_CONFINE_H

#include "daemon/process.h"

/* Is RLIMIT_MEMLOCK such that confine_early locks all memory? If not the supervisor says so, and
 * only what is a struct secret is locked. */
bool confine_locks_memory(void);
/* First of all, before anything of the outside is read. */
int confine_early(enum role role, struct error *err) _must_use_;
/* When set up: the filter; nothing can be taken back. */
int confine(enum role role, struct error *err) _must_use_;

#endif
