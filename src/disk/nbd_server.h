/* A qemu-nbd child on an open image file, and connections to it that nobody else can have. */
#ifndef ENCROOT_DISK_NBD_SERVER_H
#define ENCROOT_DISK_NBD_SERVER_H

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

struct nbd_server {
    pid_t pid;
    int errors; /* what it says on stderr */
};
#define NBD_SERVER_NONE ((struct nbd_server){.pid = -1, .errors = -1})

/*
 * Start it, read-only, on the qcow2 image `image` (a descriptor; inherited), and put `count`
 * connected sockets into `sockets`. It ends by itself when all of them are closed, thus also when
 * we are killed.
 */
int nbd_server_start(struct nbd_server *s, int image, int *sockets, size_t count,
                     struct error *err) _must_use_;

/* Wait for its end, which comes when the sockets are closed. */
void nbd_server_stop(struct nbd_server *s);

/* The last line it wrote to stderr, or "". */
void nbd_server_message(const struct nbd_server *s, char *ret, size_t size);

#endif
