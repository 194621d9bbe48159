#include "agent/listen.h"

#include "crypto/tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#define STACK_SIZE ((size_t)512 << 10)
#define ACCEPTS_A_TURN 64
#define CLOSE_TIME_MS 2000
#define FAILURES_SHOWN 5 /* in every period */
#define FAILURES_PERIOD SECONDS(10)

struct connection {
    struct listener *listener;
    int fd; /* -1: the place is free */
    bool authenticated;
    bool delivered;
    char peer[INET6_ADDRSTRLEN + 16];
};

struct listener {
    struct listen_handler handler;
    int fd;
    int ready; /* eventfd */
    pthread_mutex_t lock;
    pthread_cond_t freed; /* a place became free */
    struct connection places[LISTEN_CONNECTIONS_MAX];
    struct secret *secret;
    bool closing;
    uint64_t period; /* of failure messages */
    unsigned shown;
    unsigned not_shown;
};

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
    _close_ int ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct listener *l = ready < 0 ? NULL : calloc(1, sizeof(*l));
    if (!l)
        return error_errno(err, ENOMEM, "listening on port %u", port);
    l->handler = *handler;
    l->fd = TAKE_FD(fd);
    l->ready = TAKE_FD(ready);
    for (size_t i = 0; i < LISTEN_CONNECTIONS_MAX; i++)
        l->places[i] = (struct connection){.listener = l, .fd = -1};
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->freed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret = l;
    return 0;
}

int listener_fd(const struct listener *l)
{
    return l->fd;
}

int listener_secret_fd(const struct listener *l)
{
    return l->ready;
}

/* ---- one connection ---- */
void connection_authenticated(struct connection *c)
{
    pthread_mutex_lock(&c->listener->lock);
    c->authenticated = true;
    pthread_mutex_unlock(&c->listener->lock);
}

const char *connection_peer(const struct connection *c)
{
    return c->peer;
}

/* What a real broker meets is always told; what anybody can cause, only so often. */
static void report_failure(struct listener *l, const struct connection *c, const struct error *err)
{
    uint64_t now = clock_now();
    pthread_mutex_lock(&l->lock);
    if (now - l->period >= FAILURES_PERIOD) {
        l->period = now;
        l->shown = 0;
    }
    bool show = !l->closing && (c->authenticated || l->shown < FAILURES_SHOWN);
    unsigned not_shown = l->not_shown;
    if (show)
        l->not_shown = 0;
    else
        l->not_shown++;
    l->shown += show && !c->authenticated;
    pthread_mutex_unlock(&l->lock);
    if (show)
        l->handler.failed(l->handler.arg, c->peer, err, not_shown);
}

static void deliver(struct listener *l, struct connection *c, struct secret *s)
{
    pthread_mutex_lock(&l->lock);
    c->delivered = true;
    if (!l->secret)
        l->secret = TAKE_PTR(s);
    pthread_mutex_unlock(&l->lock);
    secret_free(s);
    uint64_t one = 1;
    ssize_t n = write(l->ready, &one, sizeof(one));
    (void)n; /* the counter cannot be full */
}

/* Let the broker see an orderly end before the interface goes down. */
static void linger(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    uint8_t scratch[256];
    shutdown(fd, SHUT_WR);
    while (poll(&p, 1, CLOSE_TIME_MS / 2) > 0 && recv(fd, scratch, sizeof(scratch), 0) > 0)
        ;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    struct listener *l = c->listener;
    struct error err = {0};
    _secret_ struct secret *s = NULL;
    int r = l->handler.fetch(l->handler.arg, c->fd, c, &s, &err);
    if (r == 0 && s) {
        deliver(l, c, TAKE_PTR(s));
        linger(c->fd);
    } else {
        report_failure(l, c, &err);
    }
    pthread_mutex_lock(&l->lock);
    close(c->fd);
    *c = (struct connection){.listener = l, .fd = -1};
    pthread_cond_broadcast(&l->freed);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- accepting ---- */
static struct connection *free_place(struct listener *l)
{
    for (size_t i = 0; i < LISTEN_CONNECTIONS_MAX; i++)
        if (l->places[i].fd < 0)
            return &l->places[i];
    return NULL;
}

/*
 * Shut down a connection picked at random from those that have shown no key. At random, since
 * under a flood the oldest would be the right one as soon as its handshake takes longer than the
 * flood takes to come round.
 */
static void evict_one(struct listener *l)
{
    struct connection *candidates[LISTEN_CONNECTIONS_MAX] = {0};
    size_t n = 0;
    for (size_t i = 0; i < LISTEN_CONNECTIONS_MAX; i++)
        if (l->places[i].fd >= 0 && !l->places[i].authenticated)
            candidates[n++] = &l->places[i];
    uint32_t r = 0;
    if (n == 0 || getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
        return;
    shutdown(candidates[r % n]->fd, SHUT_RDWR);
}

static struct timespec in_milliseconds(unsigned ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static struct connection *make_place(struct listener *l)
{
    struct connection *c = free_place(l);
    if (c)
        return c;
    evict_one(l);
    struct timespec until = in_milliseconds(100);
    while (!(c = free_place(l)) && pthread_cond_timedwait(&l->freed, &l->lock, &until) == 0)
        ;
    return c;
}

static void name_peer(struct connection *c, const struct sockaddr_storage *from)
{
    char text[INET6_ADDRSTRLEN] = "?";
    uint16_t port = 0;
    if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, from, sizeof(six));
        const uint8_t *a = six.sin6_addr.s6_addr;
        port = ntohs(six.sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
            inet_ntop(AF_INET, a + 12, text, sizeof(text));
        else
            inet_ntop(AF_INET6, a, text, sizeof(text));
    } else {
        struct sockaddr_in four;
        memcpy(&four, from, sizeof(four));
        port = ntohs(four.sin_port);
        inet_ntop(AF_INET, &four.sin_addr, text, sizeof(text));
    }
    snprintf(c->peer, sizeof(c->peer), "%s port %u", text, port);
}

static int start(struct connection *c)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int e = pthread_create(&thread, &attr, serve, c);
    pthread_attr_destroy(&attr);
    return -e;
}

static void take_in(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    static const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    pthread_mutex_lock(&l->lock);
    struct connection *c = l->closing ? NULL : make_place(l);
    if (c) {
        c->fd = fd;
        name_peer(c, from);
        if (start(c) < 0) {
            c->fd = -1;
            c = NULL;
        }
    }
    pthread_mutex_unlock(&l->lock);
    if (!c)
        close(fd);
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
    pthread_mutex_lock(&l->lock);
    struct secret *s = TAKE_PTR(l->secret);
    pthread_mutex_unlock(&l->lock);
    return s;
}

static bool all_free(const struct listener *l)
{
    for (size_t i = 0; i < LISTEN_CONNECTIONS_MAX; i++)
        if (l->places[i].fd >= 0)
            return false;
    return true;
}

void listener_close(struct listener *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->closing = true;
    for (size_t i = 0; i < LISTEN_CONNECTIONS_MAX; i++)
        if (l->places[i].fd >= 0 && !l->places[i].delivered)
            shutdown(l->places[i].fd, SHUT_RDWR);
    struct timespec until = in_milliseconds(CLOSE_TIME_MS);
    while (!all_free(l) && pthread_cond_timedwait(&l->freed, &l->lock, &until) == 0)
        ;
    bool quiet = all_free(l);
    pthread_mutex_unlock(&l->lock);
    close(l->fd);
    secret_free(l->secret);
    l->secret = NULL;
    if (!quiet)
        return; /* a thread hangs in the kernel: it keeps its memory; exec will end it */
    close(l->ready);
    pthread_cond_destroy(&l->freed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
