#include "agent/connect.h"

#include "base/bytes.h"
#include "crypto/tls.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_TIME SECONDS(5)

/* ---- addresses ---- */
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool address_parse(const char *text, struct in6_addr *ret)
{
    struct in6_addr a;
    memcpy(a.s6_addr, mapped, sizeof(mapped));
    if (inet_pton(AF_INET, text, a.s6_addr + sizeof(mapped)) != 1 &&
        inet_pton(AF_INET6, text, &a) != 1)
        return false;
    *ret = a;
    return true;
}

void address_format(const struct in6_addr *address, char ret[ADDRESS_TEXT_MAX])
{
    bool four = IN6_IS_ADDR_V4MAPPED(address);
    const void *at = four ? address->s6_addr + sizeof(mapped) : (const void *)address;
    if (!inet_ntop(four ? AF_INET : AF_INET6, at, ret, ADDRESS_TEXT_MAX))
        ret[0] = '\0';
}

/* ---- connecting ---- */
static int explain(int code, struct error *err)
{
    static const struct {
        int code;
        const char *text;
    } known[] = {
        {ECONNREFUSED, "connection refused"},
        {ETIMEDOUT, "no answer"},
        {ECONNRESET, "connection reset"},
        {EHOSTUNREACH, "no route to it"},
        {ENETUNREACH, "its network is out of reach"},
        {ECANCELED, "ended"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (known[i].code == code)
            return error_set(err, code, "%s", known[i].text);
    return error_set(err, code, "%s", strerror(code));
}

static int begin(int fd, int family, const struct in6_addr *address, uint16_t port)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *address};
    memcpy(&four.sin_addr, address->s6_addr + sizeof(mapped), sizeof(four.sin_addr));
    int r = family == AF_INET ? connect(fd, (struct sockaddr *)&four, sizeof(four))
                              : connect(fd, (struct sockaddr *)&six, sizeof(six));
    return r < 0 && errno != EINPROGRESS ? -errno : 0;
}

static int finish(int fd, int stop)
{
    uint64_t end = clock_now() + CONNECT_TIME;
    struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = stop, .events = POLLIN}};
    for (;;) {
        uint64_t now = clock_now();
        if (now >= end)
            return -ETIMEDOUT;
        int n = poll(fds, ARRAY_SIZE(fds), (int)((end - now) / 1000000) + 1);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && fds[1].revents)
            return -ECANCELED;
        if (n > 0)
            break;
    }
    int code = 0;
    socklen_t size = sizeof(code);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0 ? -errno : -code;
}

int connect_to(const struct in6_addr *address, uint16_t port, int stop, struct error *err)
{
    static const int on = 1;
    int family = IN6_IS_ADDR_V4MAPPED(address) ? AF_INET : AF_INET6;
    _close_ int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return explain(errno, err);
    int r = begin(fd, family, address, port);
    if (r == 0)
        r = finish(fd, stop);
    if (r < 0)
        return explain(-r, err);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return TAKE_FD(fd);
}
