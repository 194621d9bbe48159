/* One guest's way to its key: connect, attest, ask; then the next broker, until the deadline. */
#ifndef ENCROOT_TESTS_LOAD_REQUEST_H
#define ENCROOT_TESTS_LOAD_REQUEST_H

#include "machine.h"

#define BROKERS_MAX 16

struct target {
    char host[256];
    uint64_t port;
};

struct fleet {
    const struct machine_kind *kind;
    struct target brokers[BROKERS_MAX];
    size_t broker_count;
    uint8_t pin[32];
    const uint8_t (*volumes)[16];
    size_t volume_count;
    uint64_t patience; /* nanoseconds in which a guest begins attempts; at least one */
    uint64_t limit;    /* of one attempt */
};

enum outcome {
    OUTCOME_RELEASED,
    OUTCOME_DENIED,      /* 403: asking again changes nothing */
    OUTCOME_UNAVAILABLE, /* the last attempt got a 5xx */
    OUTCOME_FAILED,      /* the last attempt got no answer */
    OUTCOME_COUNT
};

struct answer {
    enum outcome outcome;
    unsigned attempts;
    char secret_sha256[DIGEST_HEX_SIZE]; /* of what was released */
    char id[64];                         /* of what was refused */
    char text[256];                      /* why the last attempt that failed did */
};

/* The `number`-th guest: it owns one volume and begins with one broker, both by its number. */
void request_make(const struct fleet *f, uint64_t number, struct answer *ret);

#endif
