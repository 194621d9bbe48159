/*
 * What the agent says, one line each, to the console: "[    1.234567] encroot: text", the time as
 * the kernel's own lines have it. The console is the host's: nothing is ever read from it, and
 * nothing said here is secret.
 */
#ifndef ENCROOT_AGENT_CONSOLE_H
#define ENCROOT_AGENT_CONSOLE_H

#include "base/error.h"

/* Open /dev/console; without it, everything below is silent. */
void console_open(void);
/* From any thread. Control characters are shown as '?'. */
void say(const char *fmt, ...) _printf_(1, 2);
/* The error's text behind a context, then its hint. */
void say_error(const struct error *err, const char *fmt, ...) _printf_(2, 3);
/* Wait until all that was said has left. */
void console_drain(void);

#endif
