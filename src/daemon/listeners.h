/*
 * The listening sockets of a broker. They belong to the supervisor and outlive generations: what a
 * new configuration has in common with the old is the same socket, so that no connection that waits
 * in its queue is lost.
 */
#ifndef ENCROOT_DAEMON_LISTENERS_H
#define ENCROOT_DAEMON_LISTENERS_H

#include "daemon/process.h"

#define LISTENERS_MAX (3 * CONFIG_LISTEN_MAX + 1)

struct listener {
    enum wire wire;
    struct config_address address; /* WIRE_ADMIN_UNIX: unused */
    char *path;                    /* WIRE_ADMIN_UNIX */
    int fd;
};

struct listeners {
    struct listener all[LISTENERS_MAX];
    size_t count;
};

/* All that `c` names; those that `old` (may be NULL) has are taken from there as duplicates. Errors
 * name the key and the address. On failure nothing stays open, and `old` is as it was. */
int listeners_open(struct listeners *ret, const struct daemon_config *c,
                   const struct listeners *old, struct error *err) _must_use_;
/* Closes; removes the names of UNIX sockets that `successor` (may be NULL) does not have. */
void listeners_close(struct listeners *l, const struct listeners *successor);
/* Tell the log the addresses of those that `old` (may be NULL) did not have. */
void listeners_log(const struct listeners *l, const struct listeners *old);

#endif
