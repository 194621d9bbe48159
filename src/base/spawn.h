/* Run a program without a shell. Never put a secret into argv or the environment. */
#ifndef ENCROOT_BASE_SPAWN_H
#define ENCROOT_BASE_SPAWN_H

#include "base/bytes.h"
#include "base/error.h"

#include <sys/types.h>

/*
 * Run argv[0] (looked up in PATH, then /usr/sbin and /sbin) and wait. stdin is `in`; stdout goes
 * to `out` if not NULL (bounded by its maximum), else to /dev/null; stderr's last line goes into
 * the error. Only descriptors 0 to 2 and `keep_fd` (if not negative) are inherited.
 * The environment is LC_ALL=C, PATH and `extra_env` ("NAME=value", NULL-terminated, may be NULL).
 * Returns the exit status (0..255), or a negative errno when it could not be run or was killed.
 */
int spawn_wait(const char *const argv[], const char *const extra_env[], int keep_fd,
               struct bytes in, struct buffer *out, struct error *err) _must_use_;

#endif
