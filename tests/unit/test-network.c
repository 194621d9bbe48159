/*
 * The agent's network on real interfaces of the kernel: in a network namespace of its own, with
 * TAP devices whose other side is the test. Without the right to make one there is nothing to test.
 */
#include "unit.h"
#include "dhcp_answer.h"
#include "agent/address6.h"
#include "agent/dhcp_packet.h"
#include "agent/interface.h"
#include "agent/network.h"
#include "crypto/tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <sched.h>
#include <sys/ioctl.h>

#define STATIC 0x0a090807u /* 10.9.8.7 */

static bool possible;
static uint64_t ahead; /* of the clock: leases are long */

static int plug(const char *name)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    struct ifreq q = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &q) < 0) {
        close(fd);
        return -1;
    }
    q.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(q.ifr_hwaddr.sa_data, mac, sizeof(mac));
    assert_int_equal(ioctl(fd, SIOCSIFHWADDR, &q), 0);
    return fd;
}

static struct network *start(const char *cmdline)
{
    struct ipconfig c;
    struct network *n = NULL;
    struct error e = {0};
    if (!possible)
        skip();
    assert_int_equal(ipconfig_parse(cmdline, &c, NULL), 0);
    assert_int_equal(network_open(&n, &c, &e), 0);
    network_scan(n, clock_now());
    return n;
}

/* A turn of the agent's loop. */
static void turn(struct network *n)
{
    struct pollfd fds[NETWORK_POLL_MAX];
    uint64_t wake = UINT64_MAX;
    poll(fds, network_poll(n, fds, &wake), 20);
    network_work(n, clock_now() + ahead);
}

/* The next DHCP message that comes out of the interface: its type and transaction. 0: none came. */
static uint8_t next_request(struct network *n, int tap, uint32_t *xid)
{
    uint8_t frame[2048];
    for (uint64_t end = clock_now() + SECONDS(5); clock_now() < end; turn(n)) {
        ssize_t size = read(tap, frame, sizeof(frame));
        const uint8_t *ip = frame + sizeof(struct ether_header);
        if (size < (ssize_t)sizeof(struct ether_header) + DHCP_REQUEST_SIZE || frame[12] != 8 ||
            frame[13] != 0 || ip[9] != 17 || ip[23] != DHCP_SERVER_PORT)
            continue;
        *xid = (uint32_t)ip[32] << 24 | (uint32_t)ip[33] << 16 | (uint32_t)ip[34] << 8 | ip[35];
        return ip[28 + 240 + 2];
    }
    return 0;
}

static void answer(int tap, uint32_t xid, uint8_t type, uint32_t router)
{
    uint8_t frame[1024] = {0};
    struct answer a = begin_answer(xid, type, ADDRESS);
    add_number(&a, 1, MASK);
    add_number(&a, 3, router);
    add_number(&a, 54, SERVER);
    add_number(&a, 51, 600);
    add_number(&a, 6, router + 1);
    struct bytes packet = end_answer(&a);
    memcpy(frame, mac, sizeof(mac));
    frame[12] = 8; /* IPv4 */
    memcpy(frame + 14, packet.data, packet.size);
    assert_int_equal(write(tap, frame, 14 + packet.size), 14 + packet.size);
}

static void be_the_server(struct network *n, int tap)
{
    uint32_t xid = 0;
    assert_int_equal(next_request(n, tap, &xid), DHCP_DISCOVER);
    answer(tap, xid, DHCP_OFFER, SERVER);
    assert_int_equal(next_request(n, tap, &xid), DHCP_REQUEST);
    answer(tap, xid, DHCP_ACK, SERVER);
    for (int i = 0; i < 100 && !network_address(n, 0); i++)
        turn(n);
}

/* What the kernel has; 0: none. */
static uint32_t kernel_address(const char *name)
{
    struct ifreq q = {0};
    struct sockaddr_in in;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
    int r = ioctl(fd, SIOCGIFADDR, &q);
    close(fd);
    memcpy(&in, &q.ifr_addr, sizeof(in));
    return r < 0 ? 0 : ntohl(in.sin_addr.s_addr);
}

static void a_lease_configures_the_interface(void **state)
{
    (void)state;
    int tap = possible ? plug("eth0") : -1;
    struct network *n = start("");
    be_the_server(n, tap);
    assert_int_equal(network_address(n, 0), ADDRESS);
    assert_int_equal(kernel_address("eth0"), ADDRESS);
    assert_int_equal(network_dns(n, 0), SERVER + 1);
    assert_int_equal(network_dns(n, 1), 0);
    network_close(n);
    assert_int_equal(kernel_address("eth0"), 0);
    close(tap);
}

/* Default routes of the kernel. */
static size_t default_routes(uint32_t *gateway)
{
    char line[256];
    unsigned destination, via;
    size_t n = 0;
    FILE *f = fopen("/proc/thread-self/net/route", "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "%*s %x %x", &destination, &via) == 2 && destination == 0) {
            *gateway = ntohl(via);
            n++;
        }
    fclose(f);
    return n;
}

static void a_renewal_may_change_the_router(void **state)
{
    (void)state;
    int tap = possible ? plug("eth0") : -1;
    struct network *n = start("");
    uint32_t xid = 0, gateway = 0;
    be_the_server(n, tap);
    assert_int_equal(default_routes(&gateway), 1);
    assert_int_equal(gateway, SERVER);
    unsigned generation = network_generation(n);
    ahead = SECONDS(301);
    assert_int_equal(next_request(n, tap, &xid), DHCP_REQUEST);
    answer(tap, xid, DHCP_ACK, SERVER + 1);
    for (int i = 0; i < 100 && network_generation(n) == generation; i++)
        turn(n);
    ahead = 0;
    assert_int_equal(default_routes(&gateway), 1);
    assert_int_equal(gateway, SERVER + 1);
    assert_int_equal(kernel_address("eth0"), ADDRESS);
    network_close(n);
    close(tap);
}

/* The first server of each interface comes before the second of any; the owner's word before
 * DHCP's. */
static void dns_servers_of_all_interfaces(void **state)
{
    (void)state;
    int taps[] = {possible ? plug("eth0") : -1, possible ? plug("eth1") : -1};
    struct network *n =
        start("ip=:::::eth0:dhcp:9.9.9.9:8.8.8.8 ip=10.9.8.7:::24::eth1:none:1.1.1.1");
    assert_int_equal(network_dns(n, 0), 0x01010101); /* no address on eth0 yet */
    assert_int_equal(network_dns(n, 1), 0);
    be_the_server(n, taps[0]);
    for (int i = 0; i < 100 && network_dns(n, 2) == 0; i++)
        turn(n);
    uint32_t sum = network_dns(n, 0) + network_dns(n, 1);
    assert_int_equal(sum, 0x09090909 + 0x01010101); /* in the order of the interfaces */
    assert_int_equal(network_dns(n, 2), 0x08080808);
    assert_int_equal(network_dns(n, 3), 0);
    network_close(n);
    close(taps[0]);
    close(taps[1]);
}

static void an_interface_that_goes_takes_its_address(void **state)
{
    (void)state;
    int tap = possible ? plug("eth0") : -1;
    struct network *n = start("ip=10.9.8.7:::24::eth0:none");
    unsigned generation = network_generation(n);
    assert_int_equal(network_address(n, 0), STATIC);
    close(tap);
    turn(n);
    assert_int_equal(network_address(n, 0), 0);
    assert_int_not_equal(network_generation(n), generation);
    network_close(n);
}

/* A11: the same name, another interface. Both events may be seen at once. */
static void an_interface_that_is_plugged_in_again_is_a_new_one(void **state)
{
    (void)state;
    int tap = possible ? plug("eth0") : -1;
    struct network *n = start("");
    be_the_server(n, tap);
    close(tap);
    tap = plug("eth0");
    be_the_server(n, tap);
    assert_int_equal(kernel_address("eth0"), ADDRESS);
    network_close(n);
    close(tap);
}

static void the_static_address_goes_to_what_is_plugged_in_again(void **state)
{
    (void)state;
    int tap = possible ? plug("eth0") : -1;
    struct network *n = start("ip=10.9.8.7:::24:::none"); /* the first interface */
    int other = plug("eth1");
    turn(n);
    assert_int_equal(kernel_address("eth1"), 0);
    close(tap);
    tap = plug("eth0");
    turn(n);
    assert_int_equal(network_address(n, 0), STATIC);
    assert_int_equal(network_address(n, 1), 0);
    assert_int_not_equal(kernel_address("eth0") + kernel_address("eth1"), 0);
    network_close(n);
    close(tap);
    close(other);
}

/* For ever: places are used again. */
static void many_interfaces_come_and_go(void **state)
{
    (void)state;
    struct network *n = start("ip=10.9.8.7:::24::eth0:none");
    for (int i = 0; i < 3 * NETWORK_INTERFACES_MAX; i++) {
        int tap = plug("eth0");
        turn(n);
        assert_int_equal(kernel_address("eth0"), STATIC);
        close(tap);
        turn(n);
    }
    network_close(n);
}

/* ---- IPv6 ---- */
static void add_address6(const char *name, const char *address)
{
    struct in6_ifreq q = {.ifr6_prefixlen = 64, .ifr6_ifindex = (int)if_nametoindex(name)};
    assert_int_equal(inet_pton(AF_INET6, address, &q.ifr6_addr), 1);
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(ioctl(fd, SIOCSIFADDR, &q), 0);
    close(fd);
}

static void an_ipv6_address_is_noticed(void **state)
{
    (void)state;
    struct in6_addr expected;
    int tap = possible ? plug("eth0") : -1;
    struct network *n = start("");
    if (access("/proc/net/if_inet6", R_OK) < 0)
        skip();
    turn(n);
    unsigned generation = network_generation(n);
    add_address6("eth0", "2001:db8::5");
    /* Not before the kernel has made sure that nobody else has it. */
    for (uint64_t end = clock_now() + SECONDS(10); !network_address6(n, 0) && clock_now() < end;)
        turn(n);
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::5", &expected), 1);
    assert_non_null(network_address6(n, 0));
    assert_memory_equal(network_address6(n, 0), &expected, sizeof(expected));
    assert_null(network_address6(n, 1)); /* no link-local one */
    assert_int_not_equal(network_generation(n), generation);
    close(tap);
    turn(n);
    assert_null(network_address6(n, 0));
    network_close(n);
}

static void only_usable_ipv6_addresses_count(void **state)
{
    (void)state;
    static const char list[] = "00000000000000000000000000000001 01 80 10 80       lo\n"
                               "fe80000000000000505400fffe123456 02 40 20 80     eth0\n"
                               "fec0000000000000505400fffe123456 02 40 40 00     eth0\n"
                               "20010db8000000000000000000000001 02 40 00 40     eth0\n"
                               "20010db8000000000000000000000002 02 40 00 48     eth0\n"
                               "20010db8000000000000000000000003 02 40 00 20     eth0\n"
                               "20010db8000000000000000000000004 02 40 00 00     eth0\n"
                               "nonsense\n"
                               "fd000000000000000000000000000005 03 40 00 80     eth1";
    struct in6_addr found[ADDRESSES6_MAX];
    assert_int_equal(addresses6_parse(list, found), 2);
    assert_int_equal(found[0].s6_addr[15], 4);
    assert_int_equal(found[1].s6_addr[15], 5);
    assert_int_equal(found[1].s6_addr[0], 0xfd);
    assert_int_equal(addresses6_parse("", found), 0);
}

static void no_more_ipv6_addresses_than_there_is_room_for(void **state)
{
    (void)state;
    static const char line[] = "20010db8000000000000000000000004 02 40 00 00     eth0\n";
    _buffer_ struct buffer list = {0};
    struct in6_addr found[ADDRESSES6_MAX];
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(buffer_append(&list, line, strlen(line)), 0);
    assert_int_equal(buffer_append(&list, "", 1), 0);
    assert_int_equal(addresses6_parse((const char *)list.data, found), ADDRESSES6_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_configures_the_interface),
        cmocka_unit_test(a_renewal_may_change_the_router),
        cmocka_unit_test(dns_servers_of_all_interfaces),
        cmocka_unit_test(an_interface_that_goes_takes_its_address),
        cmocka_unit_test(an_interface_that_is_plugged_in_again_is_a_new_one),
        cmocka_unit_test(the_static_address_goes_to_what_is_plugged_in_again),
        cmocka_unit_test(many_interfaces_come_and_go),
        cmocka_unit_test(an_ipv6_address_is_noticed),
        cmocka_unit_test(only_usable_ipv6_addresses_count),
        cmocka_unit_test(no_more_ipv6_addresses_than_there_is_room_for),
    };
    possible = (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) &&
               access("/dev/net/tun", R_OK | W_OK) == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
