/*
 * A DHCPv4 client for one interface: the state machine of RFC 2131, figure 5, without sockets and
 * without a clock of its own. Boot takes minutes, but an operator may let a guest wait for days,
 * so leases are renewed.
 */
#ifndef ENCROOT_AGENT_DHCP_H
#define ENCROOT_AGENT_DHCP_H

#include "agent/dhcp_packet.h"

enum dhcp_state { DHCP_OFF, DHCP_SELECTING, DHCP_REQUESTING, DHCP_BOUND, DHCP_RENEWING };
enum dhcp_event { DHCP_NOTHING, DHCP_HAVE_ADDRESS, DHCP_LOST_ADDRESS };

struct dhcp {
    uint8_t mac[6];
    /* Send one packet as a broadcast; failures are like lost packets. */
    void (*send)(void *arg, struct bytes packet);
    void *arg;

    enum dhcp_state state;
    uint32_t xid;
    unsigned tries;       /* of the present state */
    uint64_t started;     /* all times: CLOCK_BOOTTIME nanoseconds */
    uint64_t next;        /* when dhcp_timer wants to be called; UINT64_MAX: never */
    uint64_t expires;     /* of the lease; UINT64_MAX: never */
    struct dhcp_reply on; /* the offer taken or the lease held */
};

/* Begin (again): also when the carrier comes. mac, send and arg must be set. */
void dhcp_start(struct dhcp *d, uint64_t now);
/* Call at or after d->next. */
enum dhcp_event dhcp_timer(struct dhcp *d, uint64_t now);
/* A packet came. After DHCP_HAVE_ADDRESS, d->on is the lease. */
enum dhcp_event dhcp_input(struct dhcp *d, struct bytes packet, uint64_t now);

#endif
