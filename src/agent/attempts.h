/*
 * Attempts to get the secret, each in a thread of its own and none waiting for another; the first
 * that yields it wins, and the rest is ended. Whoever opens the connections, the agent (dial.h) or
 * the brokers (listen.h), this is what they have in common.
 */
#ifndef ENCROOT_AGENT_ATTEMPTS_H
#define ENCROOT_AGENT_ATTEMPTS_H

#include "base/secret.h"
#include "protocol/broker_address.h"

#define ATTEMPT_PEER_MAX (BROKER_TEXT_MAX + 64)

struct attempts;

struct attempt {
    struct attempts *all;
    bool taken;
    int fd; /* the connected socket, closed with the attempt; -1: none yet */
    bool delivered;
    uint64_t authenticated; /* when (CLOCK_BOOTTIME); 0: has not shown a pinned key */
    char peer[ATTEMPT_PEER_MAX];
};

struct attempts_handler {
    /*
     * In the attempt's thread: yield the secret, or say why not. Must end within its time limits,
     * and soon after the socket is shut down or attempts_stop_fd is readable. 0 without a secret:
     * there was none to be had.
     */
    int (*run)(void *arg, struct attempt *a, struct secret **ret, struct error *err);
    /* In the attempt's thread: it ended with `r`, without a secret. Not when all are being ended.
     */
    void (*ended)(void *arg, const struct attempt *a, int r, const struct error *err);
    void *arg;
};

/* `count`: how many at once. */
int attempts_open(struct attempts **ret, size_t count, const struct attempts_handler *handler,
                  struct error *err) _must_use_;
/*
 * A place, to be filled in (fd, peer) and started; NULL: there is none. With `evict`, one attempt
 * that has shown no pinned key is ended for it.
 */
struct attempt *attempts_reserve(struct attempts *all, bool evict);
/* Its number, below `count`. */
size_t attempt_index(const struct attempt *a);
/* If it fails, the place is free again and its socket closed. */
int attempt_start(struct attempt *a) _must_use_;

/* The attempt has a socket now, which is closed with it or, if all are being ended, at once:
 * -ECANCELED. */
int attempt_connected(struct attempt *a, int fd) _must_use_;
/* The peer has proven to be a broker. */
void attempt_authenticated(struct attempt *a);
bool attempt_is_authenticated(const struct attempt *a);
const char *attempt_peer(const struct attempt *a);
/* Has a peer shown a pinned key within the last `lead` nanoseconds, and may yet yield the secret?
 */
bool attempts_lead(struct attempts *all, uint64_t now, uint64_t lead);

int attempts_stop_fd(const struct attempts *all);   /* readable: all are being ended */
int attempts_secret_fd(const struct attempts *all); /* readable: call attempts_take */
/* The first secret that any yielded; NULL if none did yet. The caller frees it. */
struct secret *attempts_take(struct attempts *all);
/*
 * End all; one that just delivered gets a moment to close properly. After this no thread touches
 * the handler. False: one hangs in the kernel, and what the handler's argument points to must stay.
 */
bool attempts_close(struct attempts *all);

#endif
