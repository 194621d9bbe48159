/*
 * The guest's network while the agent waits: every Ethernet interface at once, by DHCP or as ip=
 * says; interfaces and carriers may come later. IPv6 is the kernel's (address6.h). Single-threaded:
 * the caller polls.
 */
#ifndef ENCROOT_AGENT_NETWORK_H
#define ENCROOT_AGENT_NETWORK_H

#include "agent/ipconfig.h"

#include <netinet/in.h>
#include <poll.h>

#define NETWORK_INTERFACES_MAX 16
#define NETWORK_POLL_MAX (NETWORK_INTERFACES_MAX + 1)

struct network;

/* `config` is copied. */
int network_open(struct network **ret, const struct ipconfig *config, struct error *err) _must_use_;
/* Find interfaces that came or went; cheap, call when devices may have appeared. */
void network_scan(struct network *n, uint64_t now);
/* Descriptors to poll (at most NETWORK_POLL_MAX; returns how many) and when to wake at the
 * latest (CLOCK_BOOTTIME nanoseconds). */
size_t network_poll(struct network *n, struct pollfd *fds, uint64_t *wake);
/* After poll: read packets, run timers. */
void network_work(struct network *n, uint64_t now);
/* The address of the index-th configured interface; 0 behind the last. */
uint32_t network_address(const struct network *n, size_t index);
/* The index-th IPv6 address; NULL behind the last. */
const struct in6_addr *network_address6(const struct network *n, size_t index);
/* The index-th DNS server, by ip= or else DHCP, the first of each interface before the second of
 * any; 0 behind the last. The same one may come twice. */
uint32_t network_dns(const struct network *n, size_t index);
/* Changes whenever an address came or went. */
unsigned network_generation(const struct network *n);
/* Leave the interfaces as the guest's own set-up expects them: down, without addresses. */
void network_close(struct network *n);

#endif
