/* Where a broker is: a DNS name or an address, and a port. Names are syntax here, never looked up.
 */
#ifndef ENCROOT_PROTOCOL_BROKER_ADDRESS_H
#define ENCROOT_PROTOCOL_BROKER_ADDRESS_H

#include "base/error.h"

#include <stdint.h>

#define BROKER_HOST_MAX 253 /* bytes; RFC 1035, 2.3.4: 255 on the wire */
#define BROKER_TEXT_MAX (BROKER_HOST_MAX + sizeof(" port 65535"))

struct broker_address {
    char host[BROKER_HOST_MAX + 1];
    uint16_t port; /* not 0 */
};

/*
 * -EINVAL unless it is an IPv4 address, an IPv6 address (without brackets and zone), or a name of
 * letters, digits and hyphens (RFC 1123, 2.1) that does not end with a dot.
 */
int broker_host_check(const char *host, struct error *err) _must_use_;
/* HOST, HOST:PORT, IPV6 or [IPV6]:PORT. -EINVAL says what is wrong. */
int broker_address_parse(const char *text, uint16_t default_port, struct broker_address *ret,
                         struct error *err) _must_use_;
/* "host port n" */
void broker_address_format(const struct broker_address *b, char ret[BROKER_TEXT_MAX]);

#endif
