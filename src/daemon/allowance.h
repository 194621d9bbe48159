/*
 * How much may be spent of something that comes back slowly: `most` at once, and in the long run
 * `total` in `seconds`. Time is given, in nanoseconds of CLOCK_BOOTTIME.
 */
#ifndef ENCROOT_DAEMON_ALLOWANCE_H
#define ENCROOT_DAEMON_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

struct allowance {
    uint64_t left, most;
    uint64_t rate;  /* a second; at least 1 */
    uint64_t since; /* up to when it was filled */
};

/* All of an eighth of `total` is there. */
struct allowance allowance_of(uint64_t total, uint64_t seconds, uint64_t now);
void allowance_refill(struct allowance *a, uint64_t now);
/* Spends all of `n`, or nothing. */
bool allowance_take(struct allowance *a, uint64_t n);

#endif
