/*
 * The broker's log: lines on standard error, which systemd keeps. Text lines begin with the level
 * as sd-daemon(3) has it ("<6>") when the journal listens ($JOURNAL_STREAM); with `log = json` each
 * is one object: {"time": ..., "level": ..., "process": ..., "message": ..., more members}. One
 * write a line. Control characters are escaped; no secret is ever handed to it.
 */
#ifndef ENCROOT_DAEMON_LOG_H
#define ENCROOT_DAEMON_LOG_H

#include "base/bytes.h"
#include "base/error.h"

#include <syslog.h>

struct log_field {
    const char *key;
    const char *value; /* NULL: left out */
};

/* `process` is "gate", "front 1", ...; copied. */
void log_open(const char *process, bool json, int level);
void log_line(int level, const char *fmt, ...) _printf_(2, 3);
/* The error's text behind a context, and its hint. */
void log_error(int level, const struct error *err, const char *fmt, ...) _printf_(3, 4);
/* A message with members: "released volume=... peer=... id=...". Ends with {NULL, NULL}. */
void log_event(int level, const char *message, const struct log_field *fields);

#endif
