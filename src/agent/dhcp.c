#include "agent/dhcp.h"

#include <string.h>
#include <sys/random.h>

#define SECOND ((uint64_t)1000000000)
#define RETRY_MIN SECOND
#define RETRY_MAX (8 * SECOND)
#define REQUEST_TRIES 4
#define LEASE_MIN 60 /* seconds: a hostile server must not keep us busy */

static uint32_t random32(void)
{
    uint32_t v = 0;
    /* Not for security: only to tell transactions and retransmissions apart. */
    if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != (ssize_t)sizeof(v))
        v ^= (uint32_t)(uintptr_t)&v;
    return v;
}

static void transmit(struct dhcp *d, enum dhcp_type type, uint64_t now)
{
    uint64_t seconds = (now - d->started) / SECOND;
    struct dhcp_request q = {
        .type = type,
        .xid = d->xid,
        .seconds = seconds > UINT16_MAX ? UINT16_MAX : (uint16_t)seconds,
    };
    memcpy(q.mac, d->mac, sizeof(q.mac));
    if (d->state == DHCP_REQUESTING) {
        q.requested = d->on.address;
        q.server = d->on.server;
    } else if (d->state == DHCP_RENEWING) {
        q.client = d->on.address; /* RFC 2131, 4.3.2: neither option 50 nor 54 */
    }
    uint8_t packet[DHCP_REQUEST_SIZE];
    dhcp_build(&q, packet);
    d->send(d->arg, BYTES_OF(packet));
    /* RFC 2131, 4.1: exponential backoff, randomised; faster than there, since a boot waits. */
    unsigned shift = d->tries > 3 ? 3 : d->tries;
    uint64_t wait = RETRY_MIN << shift;
    d->tries++;
    d->next =
        now + (wait < RETRY_MAX ? wait : RETRY_MAX) - RETRY_MIN / 4 + random32() % (RETRY_MIN / 2);
}

static void enter(struct dhcp *d, enum dhcp_state state, uint64_t now)
{
    d->state = state;
    d->tries = 0;
    d->xid = state == DHCP_REQUESTING ? d->xid : random32();
    if (state == DHCP_SELECTING)
        d->on = (struct dhcp_reply){0};
    transmit(d, state == DHCP_SELECTING ? DHCP_DISCOVER : DHCP_REQUEST, now);
}

void dhcp_start(struct dhcp *d, uint64_t now)
{
    d->started = now;
    d->expires = UINT64_MAX;
    enter(d, DHCP_SELECTING, now);
}

static enum dhcp_event lose(struct dhcp *d, uint64_t now)
{
    bool had = d->state == DHCP_RENEWING;
    dhcp_start(d, now);
    return had ? DHCP_LOST_ADDRESS : DHCP_NOTHING;
}

enum dhcp_event dhcp_timer(struct dhcp *d, uint64_t now)
{
    if (now < d->next)
        return DHCP_NOTHING;
    switch (d->state) {
    case DHCP_OFF:
        d->next = UINT64_MAX;
        break;
    case DHCP_SELECTING:
        transmit(d, DHCP_DISCOVER, now);
        break;
    case DHCP_REQUESTING:
        if (d->tries >= REQUEST_TRIES)
            return lose(d, now);
        transmit(d, DHCP_REQUEST, now);
        break;
    case DHCP_BOUND: /* T1 */
        enter(d, DHCP_RENEWING, now);
        break;
    case DHCP_RENEWING:
        if (now >= d->expires)
            return lose(d, now);
        transmit(d, DHCP_REQUEST, now);
        break;
    }
    return DHCP_NOTHING;
}

static enum dhcp_event bind_lease(struct dhcp *d, const struct dhcp_reply *reply, uint64_t now)
{
    bool same = d->state == DHCP_RENEWING && d->on.address == reply->address &&
                d->on.mask == reply->mask && d->on.router == reply->router;
    d->on = *reply;
    d->state = DHCP_BOUND;
    if (reply->lease == UINT32_MAX) {
        d->next = d->expires = UINT64_MAX;
    } else {
        uint64_t lease = (reply->lease < LEASE_MIN ? LEASE_MIN : reply->lease) * SECOND;
        d->next = now + lease / 2;
        d->expires = now + lease;
    }
    return same ? DHCP_NOTHING : DHCP_HAVE_ADDRESS;
}

enum dhcp_event dhcp_input(struct dhcp *d, struct bytes packet, uint64_t now)
{
    struct dhcp_reply reply;
    if (dhcp_parse(packet, d->xid, d->mac, &reply) < 0)
        return DHCP_NOTHING;
    if (d->state == DHCP_SELECTING && reply.type == DHCP_OFFER && reply.server) {
        d->on = reply;
        enter(d, DHCP_REQUESTING, now);
        return DHCP_NOTHING;
    }
    if (d->state == DHCP_REQUESTING || d->state == DHCP_RENEWING) {
        if (reply.type == DHCP_NAK)
            return lose(d, now);
        if (reply.type == DHCP_ACK)
            return bind_lease(d, &reply, now);
    }
    return DHCP_NOTHING;
}
