/* Reach a guest that may still be starting. */
#ifndef ENCROOT_CLI_DIAL_H
#define ENCROOT_CLI_DIAL_H

#include "base/error.h"

#include <stdint.h>

/*
 * One attempt to connect to `host` (name, IPv4, IPv6) and `port`: every address in turn, each
 * for its share of the time until `deadline` (CLOCK_BOOTTIME). Returns a connected socket, or a
 * negative errno.
 */
int dial(const char *host, uint64_t port, uint64_t deadline, struct error *err) _must_use_;

#endif
