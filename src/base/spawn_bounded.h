/* Run a program that may say much, take long, or never end. */
#ifndef ENCROOT_BASE_SPAWN_BOUNDED_H
#define ENCROOT_BASE_SPAWN_BOUNDED_H

#include "base/error.h"

#define SPAWN_SAID_MAX 1024

/*
 * Run argv[0] as the caller's shell would: looked up in the caller's PATH, with its environment,
 * in its folder; but without input, and with descriptors 0 to 2 only. `said` receives the end of
 * what it wrote to stdout and stderr, NUL-terminated, also when this fails.
 *
 * The program has a process group of its own. What is left of the group is killed when the program
 * ends, when `seconds` have passed (-ETIMEDOUT), and when SIGINT, SIGTERM or SIGHUP asks us to stop
 * (-ECANCELED; not if it is ignored); first politely, so that it can tidy up. The program itself
 * is also killed if we are. For programs of one thread.
 *
 * Returns the exit status (0 to 255), or a negative errno; -ENOENT: there is no such program.
 */
int spawn_bounded(char *const argv[], unsigned seconds, char said[SPAWN_SAID_MAX],
                  struct error *err) _must_use_;

#endif
