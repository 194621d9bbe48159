#include "daemon/front_connection.h"
#include "daemon/log.h"
#include "daemon/metrics.h"

#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#define READS_OF_WASTE 2

static void read_rest(struct connection *c);
static void give_up(struct connection *c);
static void give_up_handshake(struct connection *c);

const struct front_state state_quiet = {"quiet", EV_READ, exchange_first_byte, give_up};
const struct front_state state_handshake = {"handshake", EV_READ, exchange_handshake,
                                            give_up_handshake};
const struct front_state state_handshake_out = {"handshake", EV_WRITE, exchange_handshake,
                                                give_up_handshake};
const struct front_state state_request = {"request", EV_READ, exchange_read, give_up};
const struct front_state state_request_out = {"request", EV_WRITE, exchange_read, give_up};
const struct front_state state_queued = {"queued", 0, NULL, exchange_unavailable};
const struct front_state state_waiting = {"waiting", 0, NULL, exchange_unavailable};
const struct front_state state_answering = {"answering", 0, NULL, give_up};
const struct front_state state_answering_out = {"answering", EV_WRITE, exchange_write, give_up};
const struct front_state state_lingering = {"lingering", EV_READ, read_rest, connection_end};

/* ---- the event loop ---- */
static void socket_ready(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    (void)fd, (void)what;
    c->state->step(c);
}

static void time_is_up(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    (void)fd, (void)what;
    c->state->deadline(c);
}

void connection_enter(struct connection *c, const struct front_state *s)
{
    short before = c->state ? c->state->events : 0;
    c->state = s;
    if (s->events == before)
        return;
    if (before)
        event_del(&c->io);
    if (!s->events)
        return;
    event_assign(&c->io, c->front->base, c->fd, (short)(s->events | EV_PERSIST), socket_ready, c);
    event_add(&c->io, NULL);
}

void connection_set_deadline(struct connection *c, uint64_t when)
{
    uint64_t now = clock_now(), left = when > now ? when - now : 0;
    struct timeval t = {.tv_sec = (time_t)(left / 1000000000u),
                        .tv_usec = (suseconds_t)(left / 1000u % 1000000u)};
    event_add(&c->timer, &t);
}

/* ---- beginning and end ---- */
void connection_begin(struct front *f, uint64_t number, const char *peer, int fd)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        metrics_add(METRIC_CONNECTIONS_SHED, 1);
        front_send(f, &f->sign, MESSAGE_ENDED, number, NULL, 0);
        return;
    }
    c->front = f;
    c->number = number;
    c->fd = fd;
    c->arrival = clock_now();
    snprintf(c->peer, sizeof(c->peer), "%s", peer);
    event_assign(&c->timer, f->base, -1, 0, time_is_up, c);
    LIST_INSERT_HEAD(&f->buckets[number % FRONT_BUCKETS], c, in_bucket);
    f->count++;
    connection_enter(c, &state_quiet);
    connection_set_deadline(c, c->arrival + SECONDS(f->config->handshake_seconds));
}

struct connection *connection_find(struct front *f, uint64_t number)
{
    struct connection *c;
    LIST_FOREACH(c, &f->buckets[number % FRONT_BUCKETS], in_bucket)
    if (c->number == number)
        return c;
    return NULL;
}

void connection_charge(struct connection *c)
{
    size_t now = c->request.bytes.capacity;
    c->front->memory += now - c->charged;
    c->charged = now;
}

void connection_free_request(struct connection *c)
{
    front_request_free(&c->request);
    connection_charge(c);
}

/*
 * A guest says hello in one breath. Whoever does not is among few, of whom the newest stay: a flood
 * of beginnings is in the way of its own, and costs no more memory.
 */
void connection_await_hello(struct connection *c)
{
    struct front *f = c->front;
    if (c->says_hello)
        return;
    TAILQ_INSERT_TAIL(&f->hellos, c, in_queue);
    c->says_hello = true;
    if (++f->hello_count <= f->hello_max)
        return;
    metrics_add(METRIC_HANDSHAKES_FAILED, 1);
    metrics_add(METRIC_CONNECTIONS_SHED, 1);
    connection_end(TAILQ_FIRST(&f->hellos));
}

void connection_forget_hello(struct connection *c)
{
    if (!c->says_hello)
        return;
    TAILQ_REMOVE(&c->front->hellos, c, in_queue);
    c->says_hello = false;
    c->front->hello_count--;
}

void connection_free_tls(struct connection *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    ERR_clear_error();
    wipe(c->exporter, sizeof(c->exporter));
}

void connection_end(struct connection *c)
{
    struct front *f = c->front;
    uint64_t number = c->number;
    if (c->state == &state_queued)
        TAILQ_REMOVE(&f->queue, c, in_queue);
    connection_forget_hello(c);
    if (c->state->events)
        event_del(&c->io);
    event_del(&c->timer);
    connection_free_tls(c);
    close(c->fd);
    connection_free_request(c);
    buffer_free(&c->out);
    LIST_REMOVE(c, in_bucket);
    f->count--;
    free(c);
    if (!f->no_more)
        front_send(f, &f->sign, MESSAGE_ENDED, number, NULL, 0);
    if (f->no_more && f->count == 0)
        event_base_loopbreak(f->base);
}

static void give_up(struct connection *c)
{
    metrics_add(METRIC_TIMEOUTS, 1);
    log_line(LOG_DEBUG, "%s: time is up (%s)", c->peer, c->state->name);
    connection_end(c);
}

static void give_up_handshake(struct connection *c)
{
    metrics_add(METRIC_HANDSHAKES_FAILED, 1);
    give_up(c);
}

/*
 * Nothing more is written. What the peer still sends is thrown away until it leaves: a close with
 * bytes unread would reset the connection, and the reset could overtake what was written.
 */
void connection_linger(struct connection *c)
{
    if (c->ssl && SSL_is_init_finished(c->ssl))
        SSL_shutdown(c->ssl); /* close_notify */
    connection_free_tls(c);
    buffer_free(&c->out);
    connection_free_request(c);
    if (shutdown(c->fd, SHUT_WR) < 0) {
        connection_end(c);
        return;
    }
    connection_enter(c, &state_lingering);
    connection_set_deadline(c, clock_now() + SECONDS(LINGER_SECONDS));
}

/* Its close_notify and its end come together, mostly. */
static void read_rest(struct connection *c)
{
    char waste[16384];
    ssize_t n = 1;
    for (int i = 0; i < READS_OF_WASTE && n > 0; i++)
        n = recv(c->fd, waste, sizeof(waste), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        connection_end(c);
}
