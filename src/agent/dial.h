/*
 * Dial mode: the agent calls its brokers, all of them, again and again, until one gives it the
 * secret. They are raced: each starts a moment after the one before it, has a backoff of its own
 * (backoff.h), and no broker, address or DNS server, silent, slow or wrong, delays another
 * (ATTACKS, C4, C7). Only one that has shown a pinned key gets a head start: for as long as an
 * answer may take no further connection is begun, so that a fleet that boots does not ask every
 * broker at once.
 *
 * Single-threaded but for the attempts themselves (attempts.h): the caller polls.
 */
#ifndef ENCROOT_AGENT_DIAL_H
#define ENCROOT_AGENT_DIAL_H

#include "agent/attempts.h"
#include "agent/resolve.h"
#include "protocol/agent_config.h"

#define DIAL_STAGGER_MS 250
#define DIAL_LEAD_MS 5000

struct dial_handler {
    /* Runs in a thread; `fd` is connected, and stays the dialer's. As in listen.h. */
    int (*fetch)(void *arg, int fd, struct attempt *a, struct secret **ret, struct error *err);
    /* What became of a broker, one line; rate-limited. `line` may hold what came from outside. */
    void (*say)(void *arg, const char *line);
    void *arg;
};

struct dialer;

/* `brokers` (1 to AGENT_BROKERS_MAX) are copied. Nothing starts before dialer_work. */
int dialer_open(struct dialer **ret, const struct broker_address *brokers, size_t count,
                const struct dial_handler *handler, struct error *err) _must_use_;
int dialer_event_fd(const struct dialer *d);  /* readable: call dialer_work */
int dialer_secret_fd(const struct dialer *d); /* readable: call dialer_take */
/*
 * Start what is due; returns when to call again at the latest. Names are resolved anew each time,
 * by the servers of `r`. Times: CLOCK_BOOTTIME nanoseconds.
 */
uint64_t dialer_work(struct dialer *d, const struct resolver *r, uint64_t now);
/* There is another network: whatever waits is due at once. */
void dialer_hurry(struct dialer *d, uint64_t now);
/* The first secret that any broker gave; NULL if none did yet. The caller frees it. */
struct secret *dialer_take(struct dialer *d);
/* As attempts_close. NULL allowed. */
void dialer_close(struct dialer *d);

#endif
