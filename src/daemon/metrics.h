/*
 * Counters in memory that all processes of all generations share: each adds to its own, the monitor
 * reads. A process that lies spoils figures and nothing else.
 */
#ifndef ENCROOT_DAEMON_METRICS_H
#define ENCROOT_DAEMON_METRICS_H

#include "base/bytes.h"
#include "base/error.h"

enum metric {
    METRIC_CONNECTIONS,       /* accepted */
    METRIC_CONNECTIONS_ENDED, /* of these */
    METRIC_CONNECTIONS_SHED,  /* closed unserved: too many */
    METRIC_HANDSHAKES,        /* TLS stood */
    METRIC_HANDSHAKES_FAILED,
    METRIC_TIMEOUTS,           /* ended by a deadline */
    METRIC_REQUESTS_MALFORMED, /* answered 4xx without a decision */
    METRIC_APPRAISALS,
    METRIC_APPRAISAL_MICROSECONDS,
    METRIC_RELEASED,
    METRIC_DENIED,
    METRIC_PENDING,     /* of these: waits for an operator */
    METRIC_UNAVAILABLE, /* answered 503 */
    METRIC_SHED,        /* answered 503, undecided: more was refused than may be recorded */
    METRIC_COMMITS,     /* durable writes, each of one or more decisions */
    METRIC_COMMIT_MICROSECONDS,
    METRIC_STORE_ERRORS,
    METRIC_STORE_UP,       /* 1 or 0 */
    METRIC_AUDIT_SEQUENCE, /* of the last record that this broker saw */
    METRIC_GENERATION,
    METRIC_RESTARTS, /* generations that a failure ended */
    METRIC_COUNT
};

/* Made by the supervisor; `fd` (a memfd) is inherited. Without a call of either, all below do
 * nothing (tests). */
int metrics_create(int *ret_fd, struct error *err) _must_use_;
int metrics_attach(int fd, bool writable, struct error *err) _must_use_;
void metrics_add(enum metric m, uint64_t n);
void metrics_set(enum metric m, uint64_t value);
void metrics_raise(enum metric m, uint64_t value); /* unless it is larger already */
uint64_t metrics_get(enum metric m);
/* Prometheus text format 0.0.4. */
int metrics_format(struct buffer *ret, struct error *err) _must_use_;

#endif
