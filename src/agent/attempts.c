#include "agent/attempts.h"

#include "crypto/tls.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#define STACK_SIZE ((size_t)512 << 10)
#define EVICTION_TIME_MS 100
#define CLOSE_TIME_MS 2000

struct attempts {
    struct attempts_handler handler;
    int ready; /* eventfd: there is a secret */
    int stop;  /* eventfd: closing */
    pthread_mutex_t lock;
    pthread_cond_t freed; /* a place became free */
    struct secret *secret;
    bool closing;
    size_t count;
    struct attempt places[];
};

int attempts_open(struct attempts **ret, size_t count, const struct attempts_handler *handler,
                  struct error *err)
{
    _close_ int ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    _close_ int stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct attempts *all =
        ready < 0 || stop < 0 ? NULL : calloc(1, sizeof(*all) + count * sizeof(all->places[0]));
    if (!all)
        return error_errno(err, ENOMEM, "preparing for connections");
    all->handler = *handler;
    all->ready = TAKE_FD(ready);
    all->stop = TAKE_FD(stop);
    all->count = count;
    for (size_t i = 0; i < count; i++)
        all->places[i] = (struct attempt){.all = all, .fd = -1};
    pthread_mutex_init(&all->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&all->freed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *ret = all;
    return 0;
}

int attempts_stop_fd(const struct attempts *all)
{
    return all->stop;
}

int attempts_secret_fd(const struct attempts *all)
{
    return all->ready;
}

size_t attempt_index(const struct attempt *a)
{
    return (size_t)(a - a->all->places);
}

/* ---- what a thread says of itself ---- */
int attempt_connected(struct attempt *a, int fd)
{
    pthread_mutex_lock(&a->all->lock);
    bool late = a->all->closing;
    if (!late)
        a->fd = fd;
    pthread_mutex_unlock(&a->all->lock);
    if (late)
        close(fd);
    return late ? -ECANCELED : 0;
}

void attempt_authenticated(struct attempt *a)
{
    pthread_mutex_lock(&a->all->lock);
    a->authenticated = clock_now();
    pthread_mutex_unlock(&a->all->lock);
}

bool attempt_is_authenticated(const struct attempt *a)
{
    pthread_mutex_lock(&a->all->lock);
    bool yes = a->authenticated != 0;
    pthread_mutex_unlock(&a->all->lock);
    return yes;
}

const char *attempt_peer(const struct attempt *a)
{
    return a->peer;
}

bool attempts_lead(struct attempts *all, uint64_t now, uint64_t lead)
{
    bool any = false;
    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < all->count && !any; i++)
        any = all->places[i].authenticated && now < all->places[i].authenticated + lead;
    pthread_mutex_unlock(&all->lock);
    return any;
}

/* ---- one attempt ---- */
static void signal_event(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n; /* the counter cannot be full */
}

static void deliver(struct attempt *a, struct secret *s)
{
    struct attempts *all = a->all;
    pthread_mutex_lock(&all->lock);
    a->delivered = true;
    if (!all->secret)
        all->secret = TAKE_PTR(s);
    pthread_mutex_unlock(&all->lock);
    secret_free(s);
    signal_event(all->ready);
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

static bool is_closing(struct attempts *all)
{
    pthread_mutex_lock(&all->lock);
    bool closing = all->closing;
    pthread_mutex_unlock(&all->lock);
    return closing;
}

/* With the lock held. */
static void free_place(struct attempt *a)
{
    if (a->fd >= 0)
        close(a->fd);
    *a = (struct attempt){.all = a->all, .fd = -1};
    pthread_cond_broadcast(&a->all->freed);
}

static void *serve(void *arg)
{
    struct attempt *a = arg;
    struct attempts *all = a->all;
    struct error err = {0};
    _secret_ struct secret *s = NULL;
    int r = all->handler.run(all->handler.arg, a, &s, &err);
    if (r == 0 && s) {
        deliver(a, TAKE_PTR(s));
        linger(a->fd);
    } else if (!is_closing(all)) {
        all->handler.ended(all->handler.arg, a, r, &err);
    }
    pthread_mutex_lock(&all->lock);
    free_place(a);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

int attempt_start(struct attempt *a)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int e = pthread_create(&thread, &attr, serve, a);
    pthread_attr_destroy(&attr);
    if (e) {
        pthread_mutex_lock(&a->all->lock);
        free_place(a);
        pthread_mutex_unlock(&a->all->lock);
    }
    return -e;
}

/* ---- places ---- */
static struct attempt *find_free(struct attempts *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (!all->places[i].taken)
            return &all->places[i];
    return NULL;
}

/*
 * Shut down a connection picked at random from those that have shown no key. At random, since
 * under a flood the oldest would be the right one as soon as its handshake takes longer than the
 * flood takes to come round.
 */
static void evict_one(struct attempts *all)
{
    size_t n = 0;
    uint32_t r = 0;
    for (size_t i = 0; i < all->count; i++)
        n += all->places[i].fd >= 0 && !all->places[i].authenticated;
    if (n == 0 || getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
        return;
    size_t chosen = r % n;
    for (size_t i = 0; i < all->count; i++)
        if (all->places[i].fd >= 0 && !all->places[i].authenticated && chosen-- == 0)
            shutdown(all->places[i].fd, SHUT_RDWR);
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

static struct attempt *make_free(struct attempts *all)
{
    struct attempt *a = NULL;
    evict_one(all);
    struct timespec until = in_milliseconds(EVICTION_TIME_MS);
    while (!(a = find_free(all)) && pthread_cond_timedwait(&all->freed, &all->lock, &until) == 0)
        ;
    return a;
}

struct attempt *attempts_reserve(struct attempts *all, bool evict)
{
    pthread_mutex_lock(&all->lock);
    struct attempt *a = all->closing ? NULL : find_free(all);
    if (!a && !all->closing && evict)
        a = make_free(all);
    if (a)
        a->taken = true;
    pthread_mutex_unlock(&all->lock);
    return a;
}

/* ---- the end ---- */
struct secret *attempts_take(struct attempts *all)
{
    pthread_mutex_lock(&all->lock);
    struct secret *s = TAKE_PTR(all->secret);
    pthread_mutex_unlock(&all->lock);
    return s;
}

static bool all_free(const struct attempts *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->places[i].taken)
            return false;
    return true;
}

static bool end_all(struct attempts *all)
{
    pthread_mutex_lock(&all->lock);
    all->closing = true;
    signal_event(all->stop);
    for (size_t i = 0; i < all->count; i++)
        if (all->places[i].fd >= 0 && !all->places[i].delivered)
            shutdown(all->places[i].fd, SHUT_RDWR);
    struct timespec until = in_milliseconds(CLOSE_TIME_MS);
    while (!all_free(all) && pthread_cond_timedwait(&all->freed, &all->lock, &until) == 0)
        ;
    bool quiet = all_free(all);
    secret_free(all->secret);
    all->secret = NULL;
    pthread_mutex_unlock(&all->lock);
    return quiet;
}

bool attempts_close(struct attempts *all)
{
    if (!end_all(all))
        return false; /* a thread keeps its memory; exec will end it */
    close(all->ready);
    close(all->stop);
    pthread_cond_destroy(&all->freed);
    pthread_mutex_destroy(&all->lock);
    free(all);
    return true;
}
