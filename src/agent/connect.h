/* One TCP connection to one address. */
#ifndef ENCROOT_AGENT_CONNECT_H
#define ENCROOT_AGENT_CONNECT_H

#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_TEXT_MAX INET6_ADDRSTRLEN

/*
 * A connected, non-blocking socket, within 5 s, or a negative errno with a few words that say it.
 * IPv4 addresses are ::ffff:a.b.c.d (and do not need the kernel's IPv6). Ends with -ECANCELED when
 * `stop` becomes readable.
 */
int connect_to(const struct in6_addr *address, uint16_t port, int stop,
               struct error *err) _must_use_;

/* False: it is neither an IPv4 nor an IPv6 address, hence a name. */
bool address_parse(const char *text, struct in6_addr *ret);
void address_format(const struct in6_addr *address, char ret[ADDRESS_TEXT_MAX]);

#endif
