/*
 * What the agent says, one line each, to the console: "[    1.234567] encroot: text", the time as
 * the kernel's own lines have it. The console is the host's: nothing is ever read from it, nothing
 * said here is secret, and a host that takes nothing from it holds nobody up.
 */
#ifndef ENCROOT_AGENT_CONSOLE_H
#define ENCROOT_AGENT_CONSOLE_H

#include "base/error.h"

#define CONSOLE_PATH "/dev/console"

/* Open the terminal, and end its flow control (Ctrl-S); without it, everything below is silent. */
void console_open(const char *path);
/* Flow control as it was, for the guest. */
void console_restore(void);
/*
 * From any thread. Control characters are shown as '?'. A line that the console does not take
 * within a second is dropped, and so are those after it until it takes one again.
 */
void say(const char *fmt, ...) _printf_(1, 2);
/* The error's text behind a context, then its hint. */
void say_error(const struct error *err, const char *fmt, ...) _printf_(2, 3);
/* Wait until all that was said has left, at most a second. */
void console_drain(void);

#endif
