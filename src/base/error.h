/*
 * Errors are values: functions return 0 (or a count) on success and a negative errno on failure,
 * and describe the failure in a caller-owned `struct error`. Every level may put its context in
 * front, so that the text reads from the outside in:
 *     "disk.qcow2: partition 3: bad superblock checksum"
 * Outputs of a function are written only on success. Libraries neither print nor exit.
 * No secret ever goes into an error text. Control characters and what is not UTF-8 become "?".
 */
#ifndef ENCROOT_BASE_ERROR_H
#define ENCROOT_BASE_ERROR_H

#include "base/cleanup.h"

#include <errno.h>

#define ERROR_TEXT_MAX 2048

struct error {
    int code;                  /* positive errno, 0 if none */
    char text[ERROR_TEXT_MAX]; /* NUL-terminated, truncated if too long */
    char hint[512];            /* what to do next; may be empty */
};

/* Start a new chain. `err` may be NULL. Returns -code. `code` is a positive errno. */
int error_set(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);

/* As error_set, with ": " and strerror(code) behind. */
int error_errno(struct error *err, int code, const char *fmt, ...) _printf_(3, 4);

/* Put context and ": " in front of what is there, if `r` is an error. Returns `r` unchanged. */
int error_prefix(struct error *err, int r, const char *fmt, ...) _printf_(3, 4);

/* Say what the user can do about it; the outermost caller prints it on a line of its own. */
int error_hint(struct error *err, int r, const char *fmt, ...) _printf_(3, 4);

#endif
