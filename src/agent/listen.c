#include "agent/listen.h"

#include "crypto/tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ACCEPTS_A_TURN 64
#define FAILURES_SHOWN 5 /* in every period */
#define FAILURES_PERIOD SECONDS(10)

struct listener {
    struct listen_handler handler;
    int fd;
    struct attempts *connections;
    pthread_mutex_t lock; /* of what follows: failure messages */
    uint64_t period;
    unsigned shown;
    unsigned not_shown;
};

/* ---- one connection ---- */
static int run(void *arg, struct attempt *a, struct secret **ret, struct error *err)
{
    struct listener *l = arg;
    return l->handler.fetch(l->handler.arg, a->fd, a, ret, err);
}

/* What a real broker meets is always told; what anybody can cause, only so often. */
static void ended(void *arg, const struct attempt *a, int r, const struct error *err)
{
    struct listener *l = arg;
    uint64_t now = clock_now();
    bool authenticated = attempt_is_authenticated(a);
    (void)r;
    pthread_mutex_lock(&l->lock);
    if (now - l->period >= FAILURES_PERIOD) {
        l->period = now;
        l->shown = 0;
    }
    bool show = authenticated || l->shown < FAILURES_SHOWN;
    unsigned not_shown = l->not_shown;
    if (show)
        l->not_shown = 0;
    else
        l->not_shown++;
    l->shown += show && !authenticated;
    pthread_mutex_unlock(&l->lock);
    if (show)
        l->handler.failed(l->handler.arg, attempt_peer(a), err, not_shown);
}

/* ---- opening ---- */
static int bind_any(int family, uint16_t port)
{
    static const int on = 1;
    static const int off = 0;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    const struct sockaddr *any = family == AF_INET6 ? (void *)&six : (void *)&four;
    socklen_t size = family == AF_INET6 ? sizeof(six) : sizeof(four);
    _close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0) ||
        bind(fd, any, size) < 0 || listen(fd, LISTEN_CONNECTIONS_MAX) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int listener_open(struct listener **ret, uint16_t port, const struct listen_handler *handler,
                  struct error *err)
{
    _close_ int fd = bind_any(AF_INET6, port);
    if (fd < 0)
        fd = bind_any(AF_INET, port);
    if (fd < 0)
        return error_errno(err, -fd, "listening on port %u", port);
    _free_ struct listener *l = calloc(1, sizeof(*l));
    if (!l)
        return error_errno(err, ENOMEM, "listening on port %u", port);
    l->handler = *handler;
    struct attempts_handler threads = {.run = run, .ended = ended, .arg = l};
    int r = attempts_open(&l->connections, LISTEN_CONNECTIONS_MAX, &threads, err);
    if (r < 0)
        return error_prefix(err, r, "listening on port %u", port);
    l->fd = TAKE_FD(fd);
    pthread_mutex_init(&l->lock, NULL);
    *ret = TAKE_PTR(l);
    return 0;
}

int listener_fd(const struct listener *l)
{
    return l->fd;
}

int listener_secret_fd(const struct listener *l)
{
    return attempts_secret_fd(l->connections);
}

/* ---- accepting ---- */
static void name_peer(struct attempt *a, const struct sockaddr_storage *from)
{
    char text[INET6_ADDRSTRLEN] = "?";
    uint16_t port = 0;
    if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, from, sizeof(six));
        const uint8_t *address = six.sin6_addr.s6_addr;
        port = ntohs(six.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
            inet_ntop(AF_INET, address + 12, text, sizeof(text));
        else
            inet_ntop(AF_INET6, address, text, sizeof(text));
    } else {
        struct sockaddr_in four;
        memcpy(&four, from, sizeof(four));
        port = ntohs(four.sin_port);
        inet_ntop(AF_INET, &four.sin_addr, text, sizeof(text));
    }
    snprintf(a->peer, sizeof(a->peer), "%s port %u", text, port);
}

static void take_in(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    static const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct attempt *a = attempts_reserve(l->connections, true);
    if (!a) {
        close(fd);
        return;
    }
    name_peer(a, from);
    a->fd = fd;
    if (attempt_start(a) < 0)
        return; /* closed, as if nobody listened */
}

void listener_accept(struct listener *l)
{
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage from = {0};
        socklen_t size = sizeof(from);
        int fd = accept4(l->fd, (struct sockaddr *)&from, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            take_in(l, fd, &from);
        else if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

struct secret *listener_take(struct listener *l)
{
    return attempts_take(l->connections);
}

void listener_close(struct listener *l)
{
    if (!l)
        return;
    bool quiet = attempts_close(l->connections);
    close(l->fd);
    if (!quiet)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}
