/*
 * An image that qemu-nbd serves to us alone. Several connections, so that threads do not wait for
 * each other's requests (and compressed clusters are unpacked in parallel).
 */
#include "disk/blockdev_internal.h"
#include "disk/nbd_server.h"

#include <inttypes.h>
#include <libnbd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { CONNECTIONS_MAX = 8 };
#define REQUEST_MAX ((size_t)4 << 20)            /* servers take 32 MiB at most */
#define STATUS_MAX (((uint64_t)4 << 30) - 65536) /* the length is a 32-bit number */

struct connection {
    pthread_mutex_t lock; /* only so that trylock can find an idle one */
    struct nbd_handle *nbd;
};

struct server {
    struct blockdev d;
    struct nbd_server child;
    size_t count;
    atomic_uint next;
    struct connection connections[CONNECTIONS_MAX];
};

static struct connection *take(struct server *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (pthread_mutex_trylock(&s->connections[i].lock) == 0)
            return &s->connections[i];
    struct connection *c = &s->connections[atomic_fetch_add(&s->next, 1) % s->count];
    pthread_mutex_lock(&c->lock);
    return c;
}

static void give_back(struct connection *c)
{
    pthread_mutex_unlock(&c->lock);
}

/*
 * What the server said last, else what libnbd says of this thread's last call. A server that fails
 * in the middle of an answer just hangs up: for us that is a read or write error like others.
 */
static int failed(struct server *s, struct error *err, const char *doing, uint64_t at)
{
    int code = nbd_get_errno();
    if (code == 0 || code == ENOTCONN || code == ECONNRESET || code == EPIPE)
        code = EIO;
    const char *text = nbd_get_error();
    char message[512];
    nbd_server_message(&s->child, message, sizeof(message));
    return error_set(err, code, "%s: %s at %" PRIu64 ": %s", s->d.name, doing, at,
                     message[0] ? message
                     : text     ? text
                                : "failed");
}

static int server_read(struct blockdev *d, void *p, size_t n, uint64_t at, struct error *err)
{
    struct server *s = (struct server *)d;
    struct connection *c = take(s);
    int r = 0;
    for (uint8_t *to = p; n > 0 && r == 0;) {
        size_t step = n < REQUEST_MAX ? n : REQUEST_MAX;
        if (nbd_pread(c->nbd, to, step, at, 0) < 0)
            r = failed(s, err, "reading", at);
        to += step;
        at += step;
        n -= step;
    }
    give_back(c);
    return r;
}

static int server_write(struct blockdev *d, const void *p, size_t n, uint64_t at, struct error *err)
{
    return error_errno(err, EROFS, "%s: writing at %" PRIu64, d->name, at);
}

/* The runs of one answer of the server: pairs of length and flags. */
struct runs {
    uint32_t *pairs;
    size_t count; /* of numbers */
};

static int keep_runs(void *arg, const char *context, uint64_t at, uint32_t *entries, size_t count,
                     int *error)
{
    struct runs *runs = arg;
    if (runs->pairs || strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
        return 0;
    runs->pairs = calloc(count, sizeof(*entries));
    if (!runs->pairs) {
        *error = ENOMEM;
        return -1;
    }
    memcpy(runs->pairs, entries, count * sizeof(*entries));
    runs->count = count;
    return 0;
}

static int ask_runs(struct server *s, uint64_t at, uint64_t n, struct runs *runs, struct error *err)
{
    struct connection *c = take(s);
    nbd_extent_callback callback = {.callback = keep_runs, .user_data = runs};
    int r = nbd_block_status(c->nbd, n < STATUS_MAX ? n : STATUS_MAX, at, callback, 0);
    if (r < 0)
        r = failed(s, err, "asking for holes", at);
    give_back(c);
    return r;
}

static int tell_runs(const struct runs *runs, uint64_t *at, uint64_t end, blockdev_extent_fn fn,
                     void *arg)
{
    const uint32_t hole = LIBNBD_STATE_HOLE | LIBNBD_STATE_ZERO;
    for (size_t i = 0; i + 1 < runs->count && *at < end; i += 2) {
        /* The last run may reach beyond what was asked for. */
        uint64_t length = runs->pairs[i] < end - *at ? runs->pairs[i] : end - *at;
        int r = length ? fn(arg, *at, length, (runs->pairs[i + 1] & hole) == hole) : 0;
        if (r != 0)
            return r;
        *at += length;
    }
    return 0;
}

static int server_extents(struct blockdev *d, uint64_t at, uint64_t n, blockdev_extent_fn fn,
                          void *arg, struct error *err)
{
    struct server *s = (struct server *)d;
    const uint64_t end = at + n;
    if (nbd_can_meta_context(s->connections[0].nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) != 1)
        return fn(arg, at, n, false);
    while (at < end) {
        struct runs runs = {0};
        int r = ask_runs(s, at, end - at, &runs, err);
        uint64_t before = at;
        if (r == 0)
            r = tell_runs(&runs, &at, end, fn, arg);
        free(runs.pairs);
        if (r != 0)
            return r;
        if (at == before)
            return error_set(err, EIO, "%s: asking for holes at %" PRIu64 ": no answer", d->name,
                             at);
    }
    return 0;
}

static int server_flush(struct blockdev *d, struct error *err)
{
    return 0; /* nothing was written */
}

static void server_close(struct blockdev *d)
{
    struct server *s = (struct server *)d;
    for (size_t i = 0; i < s->count; i++) {
        if (s->connections[i].nbd)
            nbd_shutdown(s->connections[i].nbd, 0);
        nbd_close(s->connections[i].nbd);
        pthread_mutex_destroy(&s->connections[i].lock);
    }
    nbd_server_stop(&s->child);
    free(s);
}

static const struct blockdev_ops server_ops = {.read = server_read,
                                               .write = server_write,
                                               .extents = server_extents,
                                               .flush = server_flush,
                                               .close = server_close};

/* Takes `fd`. */
static int greet(struct connection *c, int fd)
{
    c->nbd = nbd_create();
    if (!c->nbd || nbd_add_meta_context(c->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0) {
        close(fd);
        return -1;
    }
    return nbd_connect_socket(c->nbd, fd);
}

static int connect_server(struct server *s, int fd, struct error *err)
{
    int sockets[CONNECTIONS_MAX];
    int r = nbd_server_start(&s->child, fd, sockets, s->count, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < s->count; i++) {
        if (r == 0 && greet(&s->connections[i], sockets[i]) < 0)
            r = -1;
        else if (r < 0)
            close(sockets[i]);
    }
    if (r == 0)
        return 0;
    /* If it has ended, its last words say why; wait until they are written. */
    char text[512], message[512];
    snprintf(text, sizeof(text), "%s", nbd_get_error() ? nbd_get_error() : "no answer");
    for (size_t i = 0; i < s->count; i++) {
        nbd_close(s->connections[i].nbd);
        s->connections[i].nbd = NULL;
    }
    struct nbd_server wait = {.pid = s->child.pid, .errors = -1};
    nbd_server_stop(&wait);
    s->child.pid = -1;
    nbd_server_message(&s->child, message, sizeof(message));
    return error_set(err, EIO, "%s", message[0] ? message : text);
}

static size_t connections_wanted(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 2 ? 2 : cores > CONNECTIONS_MAX ? CONNECTIONS_MAX : (size_t)cores;
}

int blockdev_nbd(struct blockdev **ret, int fd, const char *name, struct error *err)
{
    struct server *s = calloc(1, sizeof(*s));
    if (!s || blockdev_init(&s->d, &server_ops, 0, name) < 0) {
        free(s);
        return error_set(err, ENOMEM, "%s: out of memory", name);
    }
    s->child = NBD_SERVER_NONE;
    s->count = connections_wanted();
    for (size_t i = 0; i < s->count; i++)
        pthread_mutex_init(&s->connections[i].lock, NULL);
    int r = connect_server(s, fd, err);
    int64_t size = r == 0 ? nbd_get_size(s->connections[0].nbd) : 0;
    if (r < 0 || size < 0) {
        r = r < 0 ? error_prefix(err, r, "%s", name) : failed(s, err, "asking for the size", 0);
        blockdev_close(&s->d);
        return r;
    }
    s->d.size = (uint64_t)size;
    *ret = &s->d;
    return 0;
}
