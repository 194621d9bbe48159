/* Progress of long work on a terminal: percentage, rate, time left. Silent elsewhere. */
#ifndef ENCROOT_CLI_PROGRESS_H
#define ENCROOT_CLI_PROGRESS_H

#include "disk/encrypt.h"

/*
 * A `struct progress` that draws on stderr if that is a terminal and !quiet, and that cancels the
 * work (-ECANCELED) once SIGINT, SIGTERM or SIGHUP came. One at a time. `unit`: what is counted;
 * NULL: bytes.
 */
struct progress terminal_progress(bool quiet, const char *unit);
/* Clear the line. */
void terminal_progress_end(void);
/* Catch the signals that cancel; the second one kills as usual. */
void cancel_on_signals(void);

/* "1.4 GiB" */
#define SIZE_TEXT 24
const char *size_text(uint64_t bytes, char out[SIZE_TEXT]);

#endif
