/*
 * DHCPv4 messages (RFC 2131, 2132) as IP packets. Pure: no sockets, no clock. The server is the
 * host's and hostile; of its answers only address, mask, router, DNS servers, lease time and server
 * identifier are ever looked at (ATTACKS, C6).
 */
#ifndef ENCROOT_AGENT_DHCP_PACKET_H
#define ENCROOT_AGENT_DHCP_PACKET_H

#include "base/bytes.h"

#define DHCP_CLIENT_PORT 68
#define DHCP_SERVER_PORT 67
/* IP, UDP and BOOTP headers and the few options we send; also BOOTP's minimum of 300 bytes. */
#define DHCP_REQUEST_SIZE (20 + 8 + 300)

#define DHCP_DNS_MAX 3 /* servers taken from an answer */

enum dhcp_type { DHCP_DISCOVER = 1, DHCP_OFFER, DHCP_REQUEST, DHCP_DECLINE, DHCP_ACK, DHCP_NAK };

/* IPv4 addresses are numbers in host order: 10.0.2.15 is 0x0a00020f. 0: not given. */
struct dhcp_request {
    enum dhcp_type type;
    uint32_t xid;
    uint8_t mac[6];
    uint16_t seconds;
    uint32_t client;    /* ciaddr: the address we have and use (renewal) */
    uint32_t requested; /* option 50 */
    uint32_t server;    /* option 54 */
};

struct dhcp_reply {
    enum dhcp_type type; /* DHCP_OFFER, DHCP_ACK or DHCP_NAK */
    uint32_t address;    /* a usable unicast address; 0 only in a NAK */
    uint32_t mask;       /* contiguous, at least /1 */
    uint32_t router;     /* 0: none */
    uint32_t server;
    uint32_t lease;             /* seconds; UINT32_MAX: for ever */
    uint32_t dns[DHCP_DNS_MAX]; /* usable ones, in the server's order; 0 behind the last */
};

void dhcp_build(const struct dhcp_request *q, uint8_t ret[DHCP_REQUEST_SIZE]);

/*
 * An IP packet as it came from the wire. -ENOMSG: not an answer to this client and transaction
 * (to be ignored); -EBADMSG: an answer that is malformed or of no use.
 */
int dhcp_parse(struct bytes packet, uint32_t xid, const uint8_t mac[6],
               struct dhcp_reply *ret) _must_use_;

/* Unicast, neither "this network" nor loopback nor reserved. */
bool ipv4_is_usable(uint32_t address);
/* The netmask of the address's class, for when none is given (as the kernel's ip= does). */
uint32_t ipv4_class_mask(uint32_t address);
bool ipv4_mask_is_valid(uint32_t mask);

#endif
