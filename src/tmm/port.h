/*
 * The guest's port (protocol/tmm_port.h), seen from the host. The guest is hostile: input is
 * bounded, anything but a request is skipped, one request is answered at a time, and a token is
 * made at most so often.
 */
#ifndef ENCROOT_TMM_PORT_H
#define ENCROOT_TMM_PORT_H

#include "base/bytes.h"
#include "protocol/tmm_port.h"

#define PORT_CHALLENGE_SIZE 64
#define PORT_REQUEST_SIZE (8 + PORT_CHALLENGE_SIZE)
/* Tokens: this many at once, then one in this time. */
#define PORT_BURST 8
#define PORT_INTERVAL_MS 250

/* Make a token. Returns 0 or a negative errno, which the guest is told. */
typedef int port_answer_fn(void *context, const uint8_t challenge[PORT_CHALLENGE_SIZE],
                           struct buffer *ret_token, struct buffer *ret_certificate);

struct port {
    int fd; /* borrowed, non-blocking */
    port_answer_fn *answer;
    void *context;
    uint8_t in[PORT_REQUEST_SIZE];
    size_t in_size;
    struct buffer out;
    size_t out_sent;
    unsigned credit;    /* tokens that may be made now */
    uint64_t credit_at; /* milliseconds: when `credit` was last filled up */
};

void port_init(struct port *p, int fd, port_answer_fn *answer, void *context);
void port_free(struct port *p);
/* The machine was reset: forget half a request and half an answer. */
void port_reset(struct port *p);

/*
 * Skip in `in` to the first place where a request could begin; returns how many of its bytes
 * are left, moved to the front. A parser of hostile bytes, apart for tests and fuzzing.
 */
size_t port_resynchronise(uint8_t *in, size_t size);

/* Events to poll for; *ret_timeout_ms is lowered when the port waits for time to pass. */
short port_events(struct port *p, uint64_t now_ms, int *ret_timeout_ms);
/* 0, or a negative errno when the port is of no more use. */
int port_handle(struct port *p, short revents, uint64_t now_ms) _must_use_;

#endif
