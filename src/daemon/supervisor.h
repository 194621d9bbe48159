/*
 * The first process of a broker: reads the configuration, holds the listening sockets, starts
 * generations of the others and replaces them. It parses nothing but the configuration, and holds
 * no secret.
 *
 *   SIGHUP            a new generation with the configuration as it is now; when it serves, the old
 *                     one drains. If it cannot be started the old one goes on.
 *   SIGTERM, SIGINT   drain and end; a second one ends at once.
 *   a process's end   its generation drains, a new one of the same configuration takes its place:
 *                     at once, or, when that fails again and again, at ever longer intervals.
 */
#ifndef ENCROOT_DAEMON_SUPERVISOR_H
#define ENCROOT_DAEMON_SUPERVISOR_H

#include "daemon/process.h"

/* Until it is told to end. 0, or a negative errno when it could not start. */
int supervisor_run(const struct role_table *roles, const char *config_path,
                   struct error *err) _must_use_;

#endif
