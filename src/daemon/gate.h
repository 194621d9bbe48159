/*
 * Inside of the gate, which has the broker's TLS key and the listening sockets. It reads fixed
 * structs from its fronts and the keeper, and nothing at all from guests.
 */
#ifndef ENCROOT_DAEMON_GATE_H
#define ENCROOT_DAEMON_GATE_H

#include "crypto/tls.h"
#include "daemon/gate_table.h"
#include "daemon/messages.h"
#include "daemon/process.h"

struct gate_front {
    struct channel sign;
    int handoff;
    unsigned load; /* connections that it has */
};

struct gate {
    const struct daemon_config *config;
    struct tls_identity *identity;
    struct gate_table table;
    struct channel control, peers;
    struct gate_front fronts[CONFIG_WORKERS_MAX];
    size_t front_count;
    int listeners[CONFIG_WORKERS_MAX];
    size_t listener_count;
    uint64_t accept_after; /* CLOCK_BOOTTIME: no descriptor was left */
    bool crowded;          /* no front can take one now */
    uint64_t complained;   /* when shed connections were last logged */
    uint64_t drain_until;  /* 0: not draining */
};

/* ---- gate_sign.c ---- */
/* RFC 8446, 4.4.3. -EINVAL for what is no transcript hash. */
int gate_sign_transcript(const struct gate *g, const struct message_sign *m, struct buffer *der,
                         struct error *err) _must_use_;
int gate_sign_checkpoint(const struct gate *g, const struct message_checkpoint *m,
                         struct buffer *der, struct error *err) _must_use_;

/* ---- gate_frames.c ---- */
/* All frames that came. A request that its sender may not make is logged and refused; a negative
 * errno gives the sender up. */
int gate_serve_front(struct gate *g, size_t front, struct error *err) _must_use_;
int gate_serve_keeper(struct gate *g, struct error *err) _must_use_;

/* ---- gate_accept.c ---- */
/* Connections that wait at one listening socket: to the fronts. A negative errno ends the gate. */
int gate_accept(struct gate *g, int listener, struct error *err) _must_use_;

#endif
