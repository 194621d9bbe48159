/* One exchange over one connected socket: TLS server, one HTTP request, the release handler. */
#ifndef ENCROOT_BROKER_CONNECTION_H
#define ENCROOT_BROKER_CONNECTION_H

#include "broker/release.h"
#include "crypto/tls.h"

struct connection_result {
    bool handshake; /* TLS stood: the guest accepted our key */
    bool request;   /* a whole request came */
    int status;     /* HTTP status that was answered; 0: none */
    bool delivered; /* the guest closed the connection properly after a 200 */
    char id[RELEASE_ID_SIZE];
};

/*
 * `handshake_deadline` and `deadline`: CLOCK_BOOTTIME, absolute. Returns 0 when a request was
 * answered, whatever the status; `ret` is filled in any case. The socket stays the caller's.
 */
int connection_serve(int fd, const struct tls_identity *id, const struct release_context *c,
                     uint64_t handshake_deadline, uint64_t deadline, struct connection_result *ret,
                     struct error *err) _must_use_;

#endif
