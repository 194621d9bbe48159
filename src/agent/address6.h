/*
 * The IPv6 addresses at which a broker may reach the guest. The agent configures none itself: the
 * kernel does, from router advertisements (RFC 4862), as soon as an interface is up.
 */
#ifndef ENCROOT_AGENT_ADDRESS6_H
#define ENCROOT_AGENT_ADDRESS6_H

#include <netinet/in.h>
#include <stddef.h>

#define ADDRESSES6_MAX 16

/* Global and usable ones (not tentative, duplicate or deprecated) in the kernel's list; how many.
 */
size_t addresses6_read(struct in6_addr ret[ADDRESSES6_MAX]);
/* The same from the list's text: /proc/net/if_inet6. */
size_t addresses6_parse(const char *text, struct in6_addr ret[ADDRESSES6_MAX]);

#endif
