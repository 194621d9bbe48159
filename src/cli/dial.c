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

int dial(const char *host, uint64_t port, uint64_t deadline, struct error *err)
{
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int e = getaddrinfo(host, service, &hints, &list);
    if (e)
        return error_set(err, EHOSTUNREACH, "%s: %s", host, gai_strerror(e));
    int r = -EHOSTUNREACH;
    for (const struct addrinfo *a = list; a && r < 0; a = a->ai_next)
        r = dial_address(a, deadline);
    freeaddrinfo(list);
    if (r < 0)
        return error_errno(err, -r, "%s port %s", host, service);
    return r;
}
