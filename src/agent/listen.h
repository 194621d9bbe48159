/*
 * Listen mode: anyone may connect, one broker is right. Every connection has a thread and a time
 * limit of its own, so that no peer, silent, slow or wrong, ends the boot or delays the right one
 * (ATTACKS, C4). When all places are taken, a newcomer replaces one that has not shown the pinned
 * key, never one that has.
 */
#ifndef ENCROOT_AGENT_LISTEN_H
#define ENCROOT_AGENT_LISTEN_H

#include "agent/attempts.h"

#define LISTEN_CONNECTIONS_MAX 32

struct listen_handler {
    /*
     * Runs in the connection's thread; `fd` stays the listener's. Yields the secret, or says why
     * not. Must call attempt_authenticated once the peer has proven to be a broker, and must
     * end within its time limits or when the socket is shut down.
     */
    int (*fetch)(void *arg, int fd, struct attempt *a, struct secret **ret, struct error *err);
    /* A connection failed; rate-limited. `peer` is "address port n". */
    void (*failed)(void *arg, const char *peer, const struct error *err, unsigned not_shown);
    void *arg;
};

struct listener;

/* All addresses, IPv6 too where the kernel has it. `port` 0: any (for tests). */
int listener_open(struct listener **ret, uint16_t port, const struct listen_handler *handler,
                  struct error *err) _must_use_;
int listener_fd(const struct listener *l);        /* readable: call listener_accept */
int listener_secret_fd(const struct listener *l); /* readable: call listener_take */
void listener_accept(struct listener *l);
/* The first secret that any connection yielded; NULL if none did yet. The caller frees it. */
struct secret *listener_take(struct listener *l);
/*
 * Stop: no new connections, running ones are shut down; one that just delivered gets a moment to
 * close properly. After this no thread touches the handler.
 */
void listener_close(struct listener *l);

#endif
