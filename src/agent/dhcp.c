#include "agent/dhcp.h"

#include <string.h>
#include <sys/random.h>

#define SECOND ((uint64_t)1000000000)
#define RETRY_MIN SECOND
#define RETRY_MAX (8 * SECOND)
#define REQUEST_TRIES 4
#define RENEW_TRIES 4 /* in quick succession */
#define RENEW_MIN (60 * SECOND)
#define LEASE_MIN 60 /* seconds: a hostile server must not keep us busy */

static uint32_t random32(void)
{
    uint32_t v = 0;
    /* Not for security: only to tell transactions and retransmissions apart. */
    if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != (ssize_t)sizeof(v))
        v ^= (uint32_t)(uintptr_t)&v;
    return v;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/*
 * RFC 2131, 4.1: exponential backoff, randomised; faster than there, since a boot waits. A renewal
 * has time: after a few tries it takes half of what is left each time (4.4.5), so that a guest that
 * waits for days under a dead server does not fill its network.
 */
static uint64_t next_try(const struct dhcp *d, uint64_t now)
{
    unsigned shift = d->tries > 3 ? 3 : d->tries;
    uint64_t jitter = random32() % (RETRY_MIN / 2);
    uint64_t wait = earlier(RETRY_MIN << shift, RETRY_MAX) - RETRY_MIN / 4 + jitter;
    if (d->state != DHCP_RENEWING)
        return now + wait;
    uint64_t left = d->expires > now ? d->expires - now : 0;
    if (d->tries >= RENEW_TRIES)
        wait = left / 2 > RENEW_MIN ? left / 2 : RENEW_MIN;
    return now + earlier(wait, left);
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
    d->next = next_try(d, now);
    d->tries++;
}

static void request(struct dhcp *d, enum dhcp_state state, uint64_t now)
{
    d->state = state;
    d->tries = 0;
    d->xid = state == DHCP_REQUESTING ? d->xid : random32();
    transmit(d, DHCP_REQUEST, now);
}

static void select_at(struct dhcp *d, uint64_t when)
{
    d->state = DHCP_SELECTING;
    d->tries = 0;
    d->xid = random32();
    d->on = (struct dhcp_reply){0};
    d->started = when;
    d->expires = UINT64_MAX;
    d->next = when;
}

void dhcp_start(struct dhcp *d, uint64_t now)
{
    select_at(d, now);
    transmit(d, DHCP_DISCOVER, now);
}

static enum dhcp_event lose(struct dhcp *d, uint64_t now)
{
    bool had = d->state == DHCP_RENEWING;
    dhcp_start(d, now);
    return had ? DHCP_LOST_ADDRESS : DHCP_NOTHING;
}

/* Not at once: a server that answers every request with a NAK would be asked as fast as it can. */
static enum dhcp_event refused(struct dhcp *d, uint64_t now)
{
    bool had = d->state == DHCP_RENEWING;
    select_at(d, now + RETRY_MIN);
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
        request(d, DHCP_RENEWING, now);
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
        request(d, DHCP_REQUESTING, now);
        return DHCP_NOTHING;
    }
    if (d->state == DHCP_REQUESTING || d->state == DHCP_RENEWING) {
        if (reply.type == DHCP_NAK)
            return refused(d, now);
        if (reply.type == DHCP_ACK)
            return bind_lease(d, &reply, now);
    }
    return DHCP_NOTHING;
}
