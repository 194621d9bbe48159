/*
 * Names to addresses, by the DNS servers that DHCP or ip= named, and by nothing else: no files, no
 * environment, no search domains, no cache. The host owns DNS: an answer is only where to try, and
 * a wrong one leads to a peer without a pinned key.
 */
#ifndef ENCROOT_AGENT_RESOLVE_H
#define ENCROOT_AGENT_RESOLVE_H

#include "base/error.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_PORT 53
#define RESOLVE_SERVERS_MAX 4
#define RESOLVE_ADDRESSES_MAX 4 /* of one family; what comes behind them is not looked at */

struct dns_server {
    uint32_t address; /* IPv4, host order */
    uint16_t port;    /* DNS_PORT, but for tests */
};

struct resolver {
    struct dns_server servers[RESOLVE_SERVERS_MAX]; /* asked in this order */
    size_t count;
};

/*
 * The name's addresses of one family (AF_INET: as ::ffff:a.b.c.d), and how many. Each server gets
 * 2 s, twice; 10 s in all. Ends early with -ECANCELED when `stop` becomes readable. -ENOENT: the
 * servers say that there is none; -ETIMEDOUT: they say nothing; -EDESTADDRREQ: no server is known.
 */
int resolve(const struct resolver *r, const char *name, int family, int stop,
            struct in6_addr ret[RESOLVE_ADDRESSES_MAX], size_t *count,
            struct error *err) _must_use_;

#endif
