#include "agent/resolve.h"

#include "crypto/tls.h"

#include <ares.h>
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

#define TRY_TIME_MS 2000
#define TRIES 2
#define RESOLVE_TIME SECONDS(10)
#define SOCKETS_MAX (2 * RESOLVE_SERVERS_MAX) /* UDP and TCP; fewer than ARES_GETSOCK_MAXNUM */
#define CLASS_IN 1
#define TYPE_A 1
#define TYPE_AAAA 28

struct question {
    int family;
    bool answered;
    int status;
    struct in6_addr addresses[RESOLVE_ADDRESSES_MAX];
    int count;
};

/* ---- the library ---- */
static void initialise(void)
{
    ares_library_init(ARES_LIB_INIT_ALL); /* does nothing that can fail on Linux */
}

static int set_servers(ares_channel channel, const struct resolver *r)
{
    struct ares_addr_port_node nodes[RESOLVE_SERVERS_MAX] = {0};
    for (size_t i = 0; i < r->count; i++) {
        nodes[i].next = i + 1 < r->count ? &nodes[i + 1] : NULL;
        nodes[i].family = AF_INET;
        nodes[i].addr.addr4.s_addr = htonl(r->servers[i].address);
        nodes[i].udp_port = nodes[i].tcp_port = r->servers[i].port;
    }
    return ares_set_servers_ports(channel, nodes);
}

/* With all of these options given it reads no configuration file (ares_init_options(3)). */
static int open_channel(ares_channel *ret, const struct resolver *r)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static char lookups[] = "b"; /* DNS, no hosts file */
    struct in_addr first = {.s_addr = htonl(r->servers[0].address)};
    struct ares_options o = {
        .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = TRY_TIME_MS,
        .tries = TRIES,
        .ndots = 1,
        .servers = &first,
        .nservers = 1,
        .lookups = lookups,
    };
    pthread_once(&once, initialise);
    int status = ares_init_options(ret, &o,
                                   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                       ARES_OPT_NDOTS | ARES_OPT_SERVERS | ARES_OPT_DOMAINS |
                                       ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST | ARES_OPT_NOROTATE);
    if (status != ARES_SUCCESS)
        return status;
    status = set_servers(*ret, r);
    if (status != ARES_SUCCESS)
        ares_destroy(*ret);
    return status;
}

/* ---- the answer ---- */
static void take_ipv4(struct question *q, const unsigned char *answer, int size)
{
    struct ares_addrttl found[RESOLVE_ADDRESSES_MAX];
    int n = RESOLVE_ADDRESSES_MAX;
    q->status = ares_parse_a_reply(answer, size, NULL, found, &n);
    for (int i = 0; q->status == ARES_SUCCESS && i < n; i++) {
        uint8_t *mapped = q->addresses[q->count++].s6_addr;
        memset(mapped, 0, 10);
        memset(mapped + 10, 0xff, 2);
        memcpy(mapped + 12, &found[i].ipaddr, 4);
    }
}

static void take_ipv6(struct question *q, const unsigned char *answer, int size)
{
    struct ares_addr6ttl found[RESOLVE_ADDRESSES_MAX];
    int n = RESOLVE_ADDRESSES_MAX;
    q->status = ares_parse_aaaa_reply(answer, size, NULL, found, &n);
    for (int i = 0; q->status == ARES_SUCCESS && i < n; i++)
        memcpy(&q->addresses[q->count++], &found[i].ip6addr, sizeof(q->addresses[0]));
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *answer, int size)
{
    struct question *q = arg;
    (void)timeouts;
    q->answered = true;
    q->status = status;
    if (status != ARES_SUCCESS)
        return;
    if (q->family == AF_INET)
        take_ipv4(q, answer, size);
    else
        take_ipv6(q, answer, size);
}

static int explain(const struct question *q, struct error *err)
{
    const char *kind = q->family == AF_INET ? "IPv4" : "IPv6";
    static const struct {
        int status;
        int code;
        const char *text;
    } known[] = {
        {ARES_ENOTFOUND, ENOENT, "DNS does not know the name"},
        {ARES_ENODATA, ENOENT, NULL},
        {ARES_ETIMEOUT, ETIMEDOUT, "no DNS server gives an answer"},
        {ARES_ECONNREFUSED, ECONNREFUSED, "no DNS server gives an answer"},
        {ARES_EBADRESP, EBADMSG, "the DNS answer is malformed"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].status == q->status && known[i].text)
            return error_set(err, known[i].code, "%s", known[i].text);
        else if (known[i].status == q->status)
            return error_set(err, known[i].code, "the name has no %s address", kind);
    return error_set(err, EIO, "DNS: %s", ares_strerror(q->status));
}

/* ---- waiting for it ---- */
static int milliseconds(ares_channel channel, uint64_t left)
{
    struct timeval most = {.tv_sec = (time_t)(left / SECONDS(1)),
                           .tv_usec = (suseconds_t)(left % SECONDS(1) / 1000)};
    struct timeval own;
    const struct timeval *t = ares_timeout(channel, &most, &own);
    return (int)(t->tv_sec * 1000 + t->tv_usec / 1000) + 1;
}

/* False: `stop` is readable. */
static bool wait_once(ares_channel channel, int stop, uint64_t left)
{
    ares_socket_t sockets[SOCKETS_MAX];
    struct pollfd fds[SOCKETS_MAX + 1];
    int wanted = ares_getsock(channel, sockets, SOCKETS_MAX);
    nfds_t n = 0;
    fds[n++] = (struct pollfd){.fd = stop, .events = POLLIN};
    for (int i = 0; i < SOCKETS_MAX; i++) {
        int events = (ARES_GETSOCK_READABLE(wanted, i) ? POLLIN : 0) |
                     (ARES_GETSOCK_WRITABLE(wanted, i) ? POLLOUT : 0);
        if (events)
            fds[n++] = (struct pollfd){.fd = sockets[i], .events = (short)events};
    }
    poll(fds, n, milliseconds(channel, left));
    if (fds[0].revents)
        return false;
    for (nfds_t i = 1; i < n; i++)
        if (fds[i].revents)
            ares_process_fd(channel,
                            fds[i].revents & (POLLIN | POLLERR | POLLHUP) ? fds[i].fd
                                                                          : ARES_SOCKET_BAD,
                            fds[i].revents & POLLOUT ? fds[i].fd : ARES_SOCKET_BAD);
    ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD); /* time-outs */
    return true;
}

static int ask(ares_channel channel, const char *name, int stop, struct question *q,
               struct error *err)
{
    uint64_t end = clock_now() + RESOLVE_TIME;
    ares_query(channel, name, CLASS_IN, q->family == AF_INET ? TYPE_A : TYPE_AAAA, on_answer, q);
    while (!q->answered) {
        uint64_t now = clock_now();
        if (now >= end)
            return error_set(err, ETIMEDOUT, "no DNS server gives an answer");
        if (!wait_once(channel, stop, end - now))
            return error_set(err, ECANCELED, "ended");
    }
    if (q->status != ARES_SUCCESS)
        return explain(q, err);
    return q->count ? 0 : error_set(err, ENOENT, "the DNS answer has no address");
}

int resolve(const struct resolver *r, const char *name, int family, int stop,
            struct in6_addr ret[RESOLVE_ADDRESSES_MAX], size_t *count, struct error *err)
{
    ares_channel channel;
    struct question q = {.family = family};
    if (r->count == 0)
        return error_set(err, EDESTADDRREQ, "no DNS server is known (neither by DHCP nor by ip=)");
    int status = open_channel(&channel, r);
    if (status != ARES_SUCCESS)
        return error_set(err, EIO, "DNS: %s", ares_strerror(status));
    int e = ask(channel, name, stop, &q, err);
    ares_destroy(channel); /* calls on_answer if it was not yet: q is still there */
    if (e < 0)
        return e;
    memcpy(ret, q.addresses, sizeof(q.addresses));
    *count = (size_t)q.count;
    return 0;
}
