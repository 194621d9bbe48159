/*
 * One request as it comes over TLS, in any portions: its head, then exactly the body that the head
 * announces. Memory grows with what has come, never with what is announced. No input or output
 * here, and no policy but broker/request.h.
 */
#ifndef ENCROOT_DAEMON_FRONT_REQUEST_H
#define ENCROOT_DAEMON_FRONT_REQUEST_H

#include "protocol/http.h"

struct front_request {
    struct buffer bytes; /* of the head; once that is read, of the body */
    size_t looked_at;    /* of the head */
    bool has_head;
    struct http_request head;
};

enum front_request_state { REQUEST_PARTIAL, REQUEST_WHOLE, REQUEST_REFUSED };

struct front_refusal {
    int status; /* HTTP */
    const char *code;
};

/* After REQUEST_WHOLE, `bytes` is the body. *ret is written only with REQUEST_REFUSED; nothing may
 * be fed after anything but REQUEST_PARTIAL. */
enum front_request_state front_request_feed(struct front_request *q, struct bytes in,
                                            struct front_refusal *ret);
void front_request_free(struct front_request *q);

#endif
