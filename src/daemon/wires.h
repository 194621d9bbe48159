/* The wires between the processes of one generation: one table of who speaks with whom. */
#ifndef ENCROOT_DAEMON_WIRES_H
#define ENCROOT_DAEMON_WIRES_H

#include "daemon/process.h"

/*
 * Connect them: both ends of each wire whose two processes are among `all`. The descriptors are
 * close-on-exec and owned by the structs, also on failure (wires_close).
 */
int wires_make(struct process *all[], size_t count, struct error *err) _must_use_;
/* Another descriptor of the process, which takes it over. */
int wires_add(struct process *p, enum wire wire, int fd, struct error *err) _must_use_;
/* Close all that the process has, but for what was taken out (-1). */
void wires_close(struct process *p);

#endif
