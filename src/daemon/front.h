/*
 * Inside of a front: TLS and HTTP with guests, one request a connection. It has no secret of its
 * own: the gate signs for it, its appraiser reads what guests sent, the keeper decides and answers.
 */
#ifndef ENCROOT_DAEMON_FRONT_H
#define ENCROOT_DAEMON_FRONT_H

#include "crypto/remote_key.h"
#include "crypto/tls.h"
#include "daemon/front_request.h"
#include "daemon/messages.h"
#include "daemon/process.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <sys/queue.h>

#define FRONT_MEMORY_MAX ((size_t)256 << 20) /* of requests, in all fronts of a broker */
#define FRONT_BUCKETS 4096
/* Connections, in all fronts of a broker, whose ClientHello has begun and is not whole: OpenSSL
 * takes as much memory for each as its first bytes say that it is long, up to 128 KiB. */
#define FRONT_HELLOS_MAX 512u

/* A channel in the event loop. */
struct front_wire {
    struct channel channel;
    struct event readable, writable;
};

struct connection {
    struct front *front;
    uint64_t number; /* the gate's */
    int fd;
    const struct front_state *state; /* front_connection.h */
    SSL *ssl;                        /* NULL before the first byte, and after the answer */
    struct event io, timer;
    uint64_t arrival; /* CLOCK_BOOTTIME */
    struct front_request request;
    bool was_signed; /* its ClientHello was whole: OpenSSL had its handshake signed */
    bool says_hello; /* in front->hellos */
    size_t charged;  /* to front->memory */
    uint8_t exporter[CHANNEL_EXPORTER_SIZE];
    struct buffer out; /* the answer, encrypted */
    size_t sent;
    char peer[MESSAGE_PEER_SIZE];
    LIST_ENTRY(connection) in_bucket;
    TAILQ_ENTRY(connection) in_queue; /* or among the hellos: earlier in its life */
};

struct front {
    const struct daemon_config *config;
    struct event_base *base;
    struct front_wire control, sign, evidence, answers;
    int handoff;
    struct event handed, over;
    SSL_CTX *tls;
    struct remote_key *key;
    struct connection *signing;                     /* whose handshake is in OpenSSL now */
    LIST_HEAD(, connection) buckets[FRONT_BUCKETS]; /* by number */
    TAILQ_HEAD(, connection) queue;  /* whole requests that the appraiser's wire has no room for */
    TAILQ_HEAD(, connection) hellos; /* of which a part came, longest ago first */
    size_t hello_count, hello_max;
    size_t count;
    size_t memory, memory_max; /* bytes of requests */
    bool no_more;              /* the gate hands out no more: end with the last connection */
    int result;                /* why the loop ended */
    struct error error;
};

/* The appraiser, or the keeper, is gone: guests that wait are answered 503, then the front ends. */
void front_give_up(struct front *f, int r, const struct error *err);
/* The gate is gone: there will be no new connections; those that have their signature go on. */
void front_gate_left(struct front *f);
/* A negative errno when the wire is gone, which was then dealt with. */
int front_send(struct front *f, struct front_wire *w, uint32_t type, uint64_t connection,
               const struct bytes *parts, size_t count);

/* ---- front_tls.c ---- */
int front_tls_open(struct front *f, struct error *err) _must_use_;
void front_tls_close(struct front *f);

/* ---- front_connection.c ---- */
/* Takes over `fd`. */
void connection_begin(struct front *f, uint64_t number, const char *peer, int fd);
void connection_end(struct connection *c);
struct connection *connection_find(struct front *f, uint64_t number);
/* Its ClientHello came in part: one of too many is the end of the one that began first. */
void connection_await_hello(struct connection *c);
void connection_forget_hello(struct connection *c);
/* ---- front_exchange.c ---- */
/* The keeper's answer to a connection that waits for one. */
void connection_decided(struct connection *c, const struct message_answer *m);
/* Nobody will decide any more. */
void connection_abandon(struct connection *c);
/* The appraiser's wire has room: whole requests may go. */
void connection_push_queue(struct front *f);

#endif
