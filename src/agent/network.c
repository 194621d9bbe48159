#include "agent/network.h"

#include "agent/address6.h"
#include "agent/console.h"
#include "agent/dhcp.h"
#include "agent/interface.h"
#include "crypto/tls.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#define PACKETS_A_TURN 64 /* so that a flood cannot keep the loop here */

struct link {
    char name[IFNAMSIZ]; /* "": the place is free */
    int index;
    enum ip_method method;
    bool carrier;
    int packets; /* packet socket, -1 while not needed */
    struct dhcp dhcp;
    uint32_t address; /* 0: none */
};

struct network {
    struct ipconfig config;
    int events; /* rtnetlink: links come, go, gain carrier; IPv6 addresses come and go */
    struct link links[NETWORK_INTERFACES_MAX];
    size_t count; /* of places that were ever taken */
    struct in6_addr six[ADDRESSES6_MAX];
    size_t six_count;
    unsigned generation;
};

int network_open(struct network **ret, const struct ipconfig *config, struct error *err)
{
    struct sockaddr_nl group = {.nl_family = AF_NETLINK,
                                .nl_groups = RTMGRP_LINK | RTMGRP_IPV6_IFADDR};
    _close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (struct sockaddr *)&group, sizeof(group)) < 0)
        return error_errno(err, errno, "network: rtnetlink");
    struct network *n = calloc(1, sizeof(*n));
    if (!n)
        return error_errno(err, ENOMEM, "network");
    n->config = *config;
    n->events = TAKE_FD(fd);
    int r = interface_set_up("lo", true);
    if (r < 0)
        say("lo: %s", strerror(-r));
    *ret = n;
    return 0;
}

/* ---- packets ---- */
static int open_packets(struct link *l)
{
    struct sockaddr_ll any = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = l->index};
    _close_ int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
        return -errno;
    l->packets = TAKE_FD(fd);
    return 0;
}

static void close_packets(struct link *l)
{
    if (l->packets >= 0)
        close(l->packets);
    l->packets = -1;
}

static void send_packet(void *arg, struct bytes packet)
{
    struct link *l = arg;
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_IP),
                             .sll_ifindex = l->index,
                             .sll_halen = 6,
                             .sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    if (l->packets < 0 && open_packets(l) < 0)
        return; /* tried again with the next retransmission */
    ssize_t n = sendto(l->packets, packet.data, packet.size, 0, (struct sockaddr *)&to, sizeof(to));
    (void)n; /* lost like any packet */
}

/* ---- addresses ---- */
static void drop_address(struct network *n, struct link *l)
{
    if (!l->address)
        return;
    say("%s: the address is no longer valid", l->name);
    interface_clear_address(l->name);
    l->address = 0;
    n->generation++;
}

static void take_address(struct network *n, struct link *l, uint32_t address, uint32_t mask,
                         uint32_t gateway)
{
    char text[IPV4_TEXT_SIZE];
    char router[IPV4_TEXT_SIZE];
    struct error err = {0};
    ipv4_format(address, text);
    ipv4_format(gateway, router);
    if (l->address)
        interface_clear_address(l->name); /* and with it routes of the lease before */
    /* Without its route the address still serves the local network. */
    if (interface_set_address(l->name, address, mask, gateway, (unsigned)(l - n->links), &err) < 0)
        say("%s", err.text);
    say("%s: address %s/%u%s%s (%s)", l->name, text, ipv4_prefix(mask), gateway ? ", router " : "",
        gateway ? router : "", l->method == IP_DHCP ? "DHCP" : "static");
    l->address = address;
    n->generation++;
}

static void on_dhcp(struct network *n, struct link *l, enum dhcp_event event)
{
    if (event == DHCP_LOST_ADDRESS)
        drop_address(n, l);
    if (event == DHCP_HAVE_ADDRESS)
        take_address(n, l, l->dhcp.on.address, l->dhcp.on.mask, l->dhcp.on.router);
    if (l->dhcp.state == DHCP_BOUND)
        close_packets(l); /* opened again to renew */
}

/* ---- links ---- */
static bool static_taken(const struct network *n)
{
    for (size_t i = 0; i < n->count; i++)
        if (n->links[i].method == IP_STATIC)
            return true;
    return false;
}

static void start_link(struct network *n, struct link *l, const struct ip_setting *s, uint64_t now)
{
    int r = interface_set_up(l->name, true);
    if (r < 0) {
        say("%s: %s", l->name, strerror(-r));
        return;
    }
    l->carrier = interface_has_carrier(l->name);
    if (l->method == IP_STATIC)
        take_address(n, l, s->address, s->mask, s->gateway);
    else
        dhcp_start(&l->dhcp, now);
}

static struct link *find_link(struct network *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->links[i].name, name) == 0)
            return &n->links[i];
    return NULL;
}

static struct link *free_place(struct network *n)
{
    struct link *place = find_link(n, "");
    if (place || n->count == NETWORK_INTERFACES_MAX)
        return place;
    return &n->links[n->count++];
}

static void add_link(struct network *n, const char *name, uint64_t now)
{
    struct link l = {.packets = -1};
    if (find_link(n, name) || strlen(name) >= sizeof(l.name) ||
        !interface_is_ethernet(name, &l.index, l.dhcp.mac))
        return;
    const struct ip_setting *s = ipconfig_for(&n->config, name);
    if (!s || s->method == IP_OFF || (s->method == IP_STATIC && !s->device[0] && static_taken(n)))
        return;
    memcpy(l.name, name, strlen(name) + 1);
    l.method = s->method;
    struct link *place = free_place(n);
    if (!place)
        return;
    *place = l;
    place->dhcp.send = send_packet;
    place->dhcp.arg = place;
    place->dhcp.next = UINT64_MAX;
    start_link(n, place, s, now);
}

/* Unplugged. Its address and routes went with it. */
static void remove_link(struct network *n, struct link *l)
{
    say("%s: gone", l->name);
    close_packets(l);
    if (l->address)
        n->generation++;
    *l = (struct link){.packets = -1, .method = IP_OFF};
}

/* A name alone says little: what is plugged in again has the old name and another index. */
static bool is_listed(const struct if_nameindex *list, const struct link *l)
{
    for (const struct if_nameindex *i = list; i->if_index; i++)
        if (i->if_index == (unsigned)l->index && strcmp(i->if_name, l->name) == 0)
            return true;
    return false;
}

void network_scan(struct network *n, uint64_t now)
{
    struct if_nameindex *list = if_nameindex();
    if (!list)
        return;
    for (size_t i = 0; i < n->count; i++)
        if (n->links[i].name[0] && !is_listed(list, &n->links[i]))
            remove_link(n, &n->links[i]);
    for (const struct if_nameindex *i = list; i->if_index; i++)
        add_link(n, i->if_name, now);
    if_freenameindex(list);
}

/* A carrier that comes ends DHCP's backoff. */
static void check_carriers(struct network *n, uint64_t now)
{
    for (size_t i = 0; i < n->count; i++) {
        struct link *l = &n->links[i];
        bool carrier = l->name[0] && interface_has_carrier(l->name);
        if (carrier && !l->carrier && l->method == IP_DHCP && !l->address)
            dhcp_start(&l->dhcp, now);
        l->carrier = carrier;
    }
}

static void look_at_addresses6(struct network *n)
{
    struct in6_addr six[ADDRESSES6_MAX] = {0};
    size_t count = addresses6_read(six);
    if (count == n->six_count && memcmp(six, n->six, sizeof(six)) == 0)
        return;
    memcpy(n->six, six, sizeof(six));
    n->six_count = count;
    n->generation++;
}

/* ---- the loop ---- */
size_t network_poll(struct network *n, struct pollfd *fds, uint64_t *wake)
{
    size_t count = 0;
    fds[count++] = (struct pollfd){.fd = n->events, .events = POLLIN};
    for (size_t i = 0; i < n->count; i++) {
        struct link *l = &n->links[i];
        if (l->packets >= 0)
            fds[count++] = (struct pollfd){.fd = l->packets, .events = POLLIN};
        if (l->method == IP_DHCP && l->dhcp.next < *wake)
            *wake = l->dhcp.next;
    }
    return count;
}

static bool read_events(struct network *n)
{
    uint8_t scratch[4096]; /* only that something happened counts */
    bool any = false;
    for (int i = 0; i < PACKETS_A_TURN; i++) {
        ssize_t size = recv(n->events, scratch, sizeof(scratch), 0);
        if (size < 0 && errno != ENOBUFS)
            break;
        any = true;
    }
    return any;
}

static void work_link(struct network *n, struct link *l, uint64_t now)
{
    uint8_t packet[1500];
    for (int i = 0; l->packets >= 0 && i < PACKETS_A_TURN; i++) {
        ssize_t size = recv(l->packets, packet, sizeof(packet), 0);
        if (size < 0)
            break;
        on_dhcp(n, l, dhcp_input(&l->dhcp, BYTES(packet, (size_t)size), now));
    }
    if (now >= l->dhcp.next)
        on_dhcp(n, l, dhcp_timer(&l->dhcp, now));
}

void network_work(struct network *n, uint64_t now)
{
    if (read_events(n)) {
        network_scan(n, now);
        check_carriers(n, now);
        look_at_addresses6(n);
    }
    for (size_t i = 0; i < n->count; i++)
        if (n->links[i].method == IP_DHCP)
            work_link(n, &n->links[i], now);
}

uint32_t network_address(const struct network *n, size_t index)
{
    for (size_t i = 0; i < n->count; i++)
        if (n->links[i].address && index-- == 0)
            return n->links[i].address;
    return 0;
}

const struct in6_addr *network_address6(const struct network *n, size_t index)
{
    return index < n->six_count ? &n->six[index] : NULL;
}

static uint32_t link_dns(const struct network *n, const struct link *l, size_t index)
{
    if (!l->address)
        return 0;
    const struct ip_setting *s = ipconfig_for(&n->config, l->name);
    if (s && s->dns[0])
        return index < IPCONFIG_DNS_MAX ? s->dns[index] : 0;
    return l->method == IP_DHCP ? l->dhcp.on.dns[index] : 0;
}

uint32_t network_dns(const struct network *n, size_t index)
{
    for (size_t rank = 0; rank < DHCP_DNS_MAX; rank++)
        for (size_t i = 0; i < n->count; i++) {
            uint32_t server = link_dns(n, &n->links[i], rank);
            if (server && index-- == 0)
                return server;
        }
    return 0;
}

unsigned network_generation(const struct network *n)
{
    return n->generation;
}

void network_close(struct network *n)
{
    if (!n)
        return;
    for (size_t i = 0; i < n->count; i++) {
        if (!n->links[i].name[0])
            continue;
        close_packets(&n->links[i]);
        interface_clear_address(n->links[i].name);
        /* Down, since udev can rename an interface only then. */
        int r = interface_set_up(n->links[i].name, false);
        (void)r;
    }
    int r = interface_set_up("lo", false);
    (void)r;
    close(n->events);
    free(n);
}
