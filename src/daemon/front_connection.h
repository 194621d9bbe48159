/* Inside of a front's connections: front_connection.c, their life; front_exchange.c, what is said.
 */
#ifndef ENCROOT_DAEMON_FRONT_CONNECTION_H
#define ENCROOT_DAEMON_FRONT_CONNECTION_H

#include "daemon/front.h"

#define LINGER_SECONDS 2 /* for the peer to take the answer and leave */

/*
 * The life of a connection:
 *
 *   quiet ─ first byte ─► handshake ─► request ─ whole ─► queued ─ room ─► waiting
 *                            │            │ refused          │               │ decided
 *                            ▼            ▼                  ▼               ▼
 *                        lingering ◄─ written ──────────  answering ◄────────┘
 *
 * Each step but the last has a deadline, counted from arrival, not from the last byte.
 */
struct front_state {
    const char *name;
    short events;                           /* of the socket */
    void (*step)(struct connection *c);     /* the socket is ready */
    void (*deadline)(struct connection *c); /* time is up */
};
/* Where there are two of a name, the second waits for the socket's other direction. */
extern const struct front_state state_quiet, state_handshake, state_handshake_out, state_request,
    state_request_out, state_queued, state_waiting, state_answering, state_answering_out,
    state_lingering;

/* ---- front_connection.c ---- */
void connection_enter(struct connection *c, const struct front_state *s);
void connection_set_deadline(struct connection *c, uint64_t when); /* CLOCK_BOOTTIME */
/* Nothing more is written; ends when the peer has left, or soon. */
void connection_linger(struct connection *c);
/* Count the request's memory again. */
void connection_charge(struct connection *c);
void connection_free_request(struct connection *c);
/* TLS has said its last. */
void connection_free_tls(struct connection *c);

/* ---- front_exchange.c: any of them may end the connection ---- */
void exchange_first_byte(struct connection *c);
void exchange_handshake(struct connection *c);
void exchange_read(struct connection *c);
void exchange_write(struct connection *c);
void exchange_unavailable(struct connection *c);

#endif
