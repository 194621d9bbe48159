#include "agent/interface.h"

#include <arpa/inet.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <string.h>
#include <sys/ioctl.h>

static struct ifreq request_for(const char *name)
{
    struct ifreq q = {0};
    snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
    return q;
}

static int control(unsigned long op, void *arg)
{
    _close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, op, arg) < 0)
        return -errno;
    return 0;
}

static void put_address(struct sockaddr *ret, uint32_t address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    memcpy(ret, &in, sizeof(in));
}

bool interface_is_ethernet(const char *name, int *ret_index, uint8_t mac[6])
{
    struct ifreq hw = request_for(name);
    struct ifreq index = request_for(name);
    if (control(SIOCGIFHWADDR, &hw) < 0 || hw.ifr_hwaddr.sa_family != ARPHRD_ETHER ||
        control(SIOCGIFINDEX, &index) < 0)
        return false;
    *ret_index = index.ifr_ifindex;
    memcpy(mac, hw.ifr_hwaddr.sa_data, 6);
    return true;
}

static int get_flags(const char *name, short *ret)
{
    struct ifreq q = request_for(name);
    int r = control(SIOCGIFFLAGS, &q);
    if (r == 0)
        *ret = q.ifr_flags;
    return r;
}

bool interface_has_carrier(const char *name)
{
    short flags = 0;
    return get_flags(name, &flags) == 0 && (flags & IFF_UP) && (flags & IFF_RUNNING);
}

int interface_set_up(const char *name, bool up)
{
    struct ifreq q = request_for(name);
    int r = get_flags(name, &q.ifr_flags);
    if (r < 0)
        return r;
    q.ifr_flags = (short)(up ? q.ifr_flags | IFF_UP : q.ifr_flags & ~IFF_UP);
    return control(SIOCSIFFLAGS, &q);
}

static int add_route(const char *name, uint32_t destination, uint32_t mask, uint32_t gateway,
                     unsigned metric)
{
    char device[IFNAMSIZ];
    snprintf(device, sizeof(device), "%s", name);
    struct rtentry route = {
        .rt_flags = (unsigned short)(RTF_UP | (gateway ? RTF_GATEWAY : 0) |
                                     (mask == UINT32_MAX ? RTF_HOST : 0)),
        .rt_metric = (short)(metric + 1), /* the kernel takes one off */
        .rt_dev = device,
    };
    put_address(&route.rt_dst, destination);
    put_address(&route.rt_genmask, mask);
    put_address(&route.rt_gateway, gateway);
    int r = control(SIOCADDRT, &route);
    return r == -EEXIST ? 0 : r;
}

int interface_set_address(const char *name, uint32_t address, uint32_t mask, uint32_t gateway,
                          unsigned metric, struct error *err)
{
    struct ifreq a = request_for(name);
    struct ifreq m = request_for(name);
    put_address(&a.ifr_addr, address);
    put_address(&m.ifr_netmask, mask);
    int r;
    if ((r = control(SIOCSIFADDR, &a)) < 0 || (r = control(SIOCSIFNETMASK, &m)) < 0)
        return error_errno(err, -r, "%s: setting the address", name);
    if (!gateway)
        return 0;
    /* Some clouds give a /32 and a router outside of it. */
    if ((gateway & mask) != (address & mask) &&
        (r = add_route(name, gateway, UINT32_MAX, 0, metric)) < 0)
        return error_errno(err, -r, "%s: adding a route to the router", name);
    if ((r = add_route(name, 0, 0, gateway, metric)) < 0)
        return error_errno(err, -r, "%s: adding the default route", name);
    return 0;
}

void interface_clear_address(const char *name)
{
    struct ifreq q = request_for(name);
    put_address(&q.ifr_addr, 0);
    int r = control(SIOCSIFADDR, &q); /* takes its routes along */
    (void)r;
}

void ipv4_format(uint32_t address, char ret[IPV4_TEXT_SIZE])
{
    snprintf(ret, IPV4_TEXT_SIZE, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
             address >> 8 & 255, address & 255);
}

unsigned ipv4_prefix(uint32_t mask)
{
    return (unsigned)__builtin_popcount(mask);
}
