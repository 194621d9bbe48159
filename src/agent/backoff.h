/* How long to wait before the next try of what failed: longer each time, bounded, and never the
 * same for a thousand guests that one power cut started together. */
#ifndef ENCROOT_AGENT_BACKOFF_H
#define ENCROOT_AGENT_BACKOFF_H

#include "crypto/tls.h"

#define BACKOFF_MIN SECONDS(1)
#define BACKOFF_MAX SECONDS(30)

/* Nanoseconds after the `failures`-th failure in a row (from 1): between half of and all of 2, 4,
 * 8, 16, 30, 30, ... seconds, as `random` says. */
uint64_t backoff_wait(unsigned failures, uint32_t random);

#endif
