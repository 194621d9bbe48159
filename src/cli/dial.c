#include "cli/dial.h"
#include "crypto/tls.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

static int wait_connected(int fd, uint64_t deadline)
{
    for (;;) {
        uint64_t now = clock_now();
        if (now >= deadline)
            return -ETIMEDOUT;
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int r = poll(&p, 1, (int)((deadline - now) / 1000000u) + 1);
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r > 0)
            break;
    }
    int code = 0;
    socklen_t size = sizeof(code);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0 ? -errno : -code;
}

static int dial_address(const struct addrinfo *a, uint64_t deadline)
{
    _close_ int fd =
        socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
        return -errno;
    int r = wait_connected(fd, deadline);
    if (r < 0)
        return r;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return TAKE_FD(fd);
}

static uint64_t count(const struct addrinfo *list)
{
    uint64_t n = 0;
    for (; list; list = list->ai_next)
        n++;
    return n;
}

/* An address that swallows everything must leave time for those behind it. */
static int dial_any(const struct addrinfo *list, uint64_t deadline)
{
    int r = -EHOSTUNREACH;
    for (const struct addrinfo *a = list; a && r < 0; a = a->ai_next) {
        uint64_t now = clock_now();
        uint64_t left = deadline > now ? deadline - now : 0;
        r = dial_address(a, now + left / count(a));
    }
    return r;
}

int dial(const char *host, uint64_t port, uint64_t deadline, struct error *err)
{
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int e = getaddrinfo(host, service, &hints, &list);
    if (e)
        return error_set(err, EHOSTUNREACH, "%s: %s", host, gai_strerror(e));
    int r = dial_any(list, deadline);
    freeaddrinfo(list);
    if (r < 0)
        return error_errno(err, -r, "%s port %s", host, service);
    return r;
}
