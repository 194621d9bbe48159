/*
 * Who is behind the numbers that the gate gives to connections, and what was decided about them.
 * Of fixed size: a new connection takes the place of one that is over, and what is older than
 * `lifetime` is over, too. Numbers grow; the rest of one by how many may be open is that of no
 * other that is open (gate_table.h), so that none of these takes another's place.
 *
 * What its front ended is kept as well: whoever sends evidence and hangs up is still recorded.
 */
#ifndef ENCROOT_DAEMON_CONNECTIONS_H
#define ENCROOT_DAEMON_CONNECTIONS_H

#include "daemon/messages.h"

enum connection_state {
    CONNECTION_OPEN,
    CONNECTION_WAITS, /* for a decision that is being made */
    CONNECTION_DECIDED,
};

struct known_connection {
    uint64_t number; /* 0: none */
    uint64_t began;  /* CLOCK_BOOTTIME */
    unsigned worker;
    enum connection_state state;
    char peer[MESSAGE_PEER_SIZE];
};

struct connections {
    struct known_connection *list; /* by the rest of the number */
    size_t size;
    uint64_t last;     /* the highest number yet */
    uint64_t lifetime; /* nanoseconds */
};

/* Room for several times `most`, the number that may be open at one time. -ENOMEM. */
int connections_init(struct connections *t, size_t most, unsigned lifetime_seconds,
                     struct error *err) _must_use_;
void connections_free(struct connections *t);

/* The gate's word, that a connection began or ended: -EPROTO for a body of another form, a number
 * that is not new, or a worker of `workers` that is not there. */
int connections_add(struct connections *t, const struct frame *f, size_t workers, uint64_t now,
                    struct error *err) _must_use_;
/*
 * 1 with *ret: it lives, and was given to `worker`. 0: it is over; nothing may be released to it.
 * -EPROTO: no such number was given yet, or to another worker.
 */
int connections_find(struct connections *t, uint64_t number, unsigned worker, uint64_t now,
                     struct known_connection **ret, struct error *err) _must_use_;

#endif
