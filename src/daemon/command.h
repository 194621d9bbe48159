/* The command line of encrootd, apart from main(): programs of tests have the same. */
#ifndef ENCROOT_DAEMON_COMMAND_H
#define ENCROOT_DAEMON_COMMAND_H

#include "daemon/process.h"

/* Returns the exit status: 0, 1 failed, 2 command line, 4 bad configuration. */
int encrootd_main(const struct role_table *roles, int argc, char **argv);

/* Are the files that a configuration names there, readable, and what they must be? `mode`: of its
 * own file, which may hold a password. */
int config_check(const struct daemon_config *c, mode_t mode, struct error *err) _must_use_;

#endif
