#include "agent/dhcp_packet.h"

#include <errno.h>
#include <string.h>

#define IP_SIZE 20
#define UDP_SIZE 8
#define BOOTP_SIZE 236 /* up to the magic cookie */
#define COOKIE 0x63825363u

/* RFC 2132 */
enum {
    OPTION_PAD = 0,
    OPTION_MASK = 1,
    OPTION_ROUTER = 3,
    OPTION_DNS = 6,
    OPTION_REQUESTED = 50,
    OPTION_LEASE = 51,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_PARAMETERS = 55,
    OPTION_MAX_SIZE = 57,
    OPTION_CLIENT_ID = 61,
    OPTION_END = 255,
};

/* RFC 1071 */
static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    return sum;
}

static uint16_t fold16(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put_headers(uint8_t *p, uint32_t source)
{
    uint8_t *udp = p + IP_SIZE;
    size_t udp_size = DHCP_REQUEST_SIZE - IP_SIZE;
    p[0] = 0x45;
    put_be16(p + 2, DHCP_REQUEST_SIZE);
    p[8] = 64; /* time to live */
    p[9] = 17; /* UDP */
    put_be32(p + 12, source);
    put_be32(p + 16, 0xffffffffu);
    put_be16(p + 10, fold16(sum16(0, p, IP_SIZE)));
    put_be16(udp, DHCP_CLIENT_PORT);
    put_be16(udp + 2, DHCP_SERVER_PORT);
    put_be16(udp + 4, (uint16_t)udp_size);
    /* RFC 768: pseudo header (addresses, protocol, length), then the datagram. */
    uint32_t sum = sum16(17 + (uint32_t)udp_size, p + 12, 8);
    uint16_t check = fold16(sum16(sum, udp, udp_size));
    put_be16(udp + 6, check ? check : 0xffff);
}

static uint8_t *put_option(uint8_t *p, uint8_t code, const void *value, uint8_t size)
{
    p[0] = code;
    p[1] = size;
    memcpy(p + 2, value, size);
    return p + 2 + size;
}

static uint8_t *put_option_be32(uint8_t *p, uint8_t code, uint32_t value)
{
    uint8_t bytes[4];
    put_be32(bytes, value);
    return value ? put_option(p, code, bytes, sizeof(bytes)) : p;
}

void dhcp_build(const struct dhcp_request *q, uint8_t ret[DHCP_REQUEST_SIZE])
{
    static const uint8_t wanted[] = {OPTION_MASK, OPTION_ROUTER, OPTION_DNS, OPTION_LEASE,
                                     OPTION_SERVER};
    static const uint8_t max_size[] = {1500 >> 8, 1500 & 255};
    const uint8_t type = (uint8_t)q->type;
    uint8_t client_id[7] = {1 /* Ethernet */};
    memcpy(client_id + 1, q->mac, 6);
    memset(ret, 0, DHCP_REQUEST_SIZE);
    uint8_t *bootp = ret + IP_SIZE + UDP_SIZE;
    bootp[0] = 1; /* BOOTREQUEST */
    bootp[1] = 1; /* Ethernet */
    bootp[2] = 6;
    put_be32(bootp + 4, q->xid);
    put_be16(bootp + 8, q->seconds);
    put_be32(bootp + 12, q->client);
    memcpy(bootp + 28, q->mac, 6);
    put_be32(bootp + BOOTP_SIZE, COOKIE);
    uint8_t *p = bootp + BOOTP_SIZE + 4;
    p = put_option(p, OPTION_TYPE, &type, 1);
    p = put_option(p, OPTION_CLIENT_ID, client_id, sizeof(client_id));
    p = put_option_be32(p, OPTION_REQUESTED, q->requested);
    p = put_option_be32(p, OPTION_SERVER, q->server);
    p = put_option(p, OPTION_MAX_SIZE, max_size, sizeof(max_size));
    p = put_option(p, OPTION_PARAMETERS, wanted, sizeof(wanted));
    *p = OPTION_END;
    put_headers(ret, q->client);
}

/*
 * The UDP payload of an unfragmented packet to port 68. Checksums are not verified: between a
 * host and its guest they are often left to offloading, and nothing in here is trusted anyway.
 */
static int udp_payload(struct bytes packet, struct bytes *ret)
{
    struct reader r = reader_of(packet);
    uint8_t version = read_u8(&r);
    read_u8(&r);
    uint16_t total = read_be16(&r);
    read_be16(&r);
    uint16_t fragment = read_be16(&r);
    read_u8(&r);
    uint8_t protocol = read_u8(&r);
    size_t header = (size_t)(version & 15) * 4;
    if (r.error || version >> 4 != 4 || header < IP_SIZE || total < header || total > packet.size ||
        (fragment & 0x3fff) || protocol != 17)
        return -ENOMSG;
    r = reader_of(BYTES(packet.data + header, total - header));
    uint16_t from = read_be16(&r);
    uint16_t to = read_be16(&r);
    uint16_t size = read_be16(&r);
    read_be16(&r);
    if (r.error || from != DHCP_SERVER_PORT || to != DHCP_CLIENT_PORT || size < UDP_SIZE)
        return -ENOMSG;
    *ret = read_bytes(&r, size - UDP_SIZE);
    return r.error ? -ENOMSG : 0;
}

static uint32_t value_be32(struct bytes value)
{
    struct reader r = reader_of(value);
    return read_be32(&r);
}

/* RFC 2132, 3.8: a list, whose unusable entries are passed over. */
static void take_dns(struct bytes value, uint32_t ret[DHCP_DNS_MAX])
{
    struct reader r = reader_of(value);
    for (size_t n = 0; n < DHCP_DNS_MAX && reader_left(&r) >= 4;) {
        uint32_t address = read_be32(&r);
        if (ipv4_is_usable(address))
            ret[n++] = address;
    }
}

/* A repeated option is taken from its first place. Fields stay 0 when absent or too short. */
static int parse_options(struct reader *r, struct dhcp_reply *d)
{
    while (reader_left(r) > 0) {
        uint8_t code = read_u8(r);
        if (code == OPTION_PAD)
            continue;
        if (code == OPTION_END)
            break;
        struct bytes value = read_bytes(r, read_u8(r));
        if (r->error)
            return -EBADMSG;
        if (code == OPTION_TYPE && value.size == 1 && !d->type)
            d->type = value.data[0];
        else if (code == OPTION_MASK && value.size == 4 && !d->mask)
            d->mask = value_be32(value);
        else if (code == OPTION_ROUTER && value.size >= 4 && !d->router)
            d->router = value_be32(value);
        else if (code == OPTION_DNS && !d->dns[0])
            take_dns(value, d->dns);
        else if (code == OPTION_SERVER && value.size == 4 && !d->server)
            d->server = value_be32(value);
        else if (code == OPTION_LEASE && value.size == 4 && !d->lease)
            d->lease = value_be32(value);
    }
    return 0;
}

static int check_reply(struct dhcp_reply *d)
{
    if (d->type == DHCP_NAK)
        return 0;
    if ((d->type != DHCP_OFFER && d->type != DHCP_ACK) || !ipv4_is_usable(d->address))
        return -EBADMSG;
    if (d->mask == 0)
        d->mask = ipv4_class_mask(d->address);
    if (!ipv4_mask_is_valid(d->mask))
        return -EBADMSG;
    if (d->router && (!ipv4_is_usable(d->router) || d->router == d->address))
        d->router = 0;
    if (d->lease == 0)
        d->lease = UINT32_MAX; /* BOOTP knows no leases */
    return 0;
}

int dhcp_parse(struct bytes packet, uint32_t xid, const uint8_t mac[6], struct dhcp_reply *ret)
{
    struct bytes bootp;
    int r = udp_payload(packet, &bootp);
    if (r < 0)
        return r;
    if (bootp.size < BOOTP_SIZE + 4 || bootp.data[0] != 2 /* BOOTREPLY */ || bootp.data[1] != 1 ||
        bootp.data[2] != 6 || value_be32(BYTES(bootp.data + 4, 4)) != xid ||
        memcmp(bootp.data + 28, mac, 6) != 0 ||
        value_be32(BYTES(bootp.data + BOOTP_SIZE, 4)) != COOKIE)
        return -ENOMSG;
    struct dhcp_reply d = {.address = value_be32(BYTES(bootp.data + 16, 4))};
    struct reader options = reader_of(bootp);
    read_bytes(&options, BOOTP_SIZE + 4);
    r = parse_options(&options, &d);
    if (r == 0)
        r = check_reply(&d);
    if (r < 0)
        return r;
    if (d.type == DHCP_NAK)
        d = (struct dhcp_reply){.type = DHCP_NAK, .server = d.server};
    *ret = d;
    return 0;
}

bool ipv4_is_usable(uint32_t address)
{
    uint8_t first = (uint8_t)(address >> 24);
    return first != 0 && first != 127 && first < 224;
}

uint32_t ipv4_class_mask(uint32_t address)
{
    uint8_t first = (uint8_t)(address >> 24);
    return first < 128 ? 0xff000000u : first < 192 ? 0xffff0000u : 0xffffff00u;
}

bool ipv4_mask_is_valid(uint32_t mask)
{
    uint32_t host = ~mask;
    return mask != 0 && (host & (host + 1)) == 0;
}
