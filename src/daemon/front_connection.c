#include "broker/release.h"
#include "crypto/tls_context.h"
#include "daemon/front.h"
#include "daemon/log.h"
#include "daemon/metrics.h"

#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#define READS_AT_ONCE 16 /* records of one connection before others have their turn */
#define LINGER_SECONDS 2 /* for the peer to take the answer and leave */
#define ANSWER_ROOM (HTTP_RESPONSE_HEAD_SIZE + 128)

/*
 * The life of a connection:
 *
 *   quiet ─ first byte ─► handshake ─► request ─ whole ─► queued ─ room ─► waiting
 *                            │            │ refused          │               │ decided
 *                            ▼            ▼                  ▼               ▼
 *                        lingering ◄─ written ──────────  answering ◄────────┘
 *
 * Each step but the last has a deadline, counted from arrival, not from the last byte.
 */
struct front_state {
    const char *name;
    short events;                           /* of the socket */
    void (*step)(struct connection *c);     /* the socket is ready */
    void (*deadline)(struct connection *c); /* time is up */
};

static void first_byte(struct connection *c);
static void shake_hands(struct connection *c);
static void read_request(struct connection *c);
static void write_answer(struct connection *c);
static void read_rest(struct connection *c);
static void give_up(struct connection *c);
static void give_up_handshake(struct connection *c);
static void answer_unavailable(struct connection *c);

static const struct front_state quiet = {"quiet", EV_READ, first_byte, give_up};
static const struct front_state handshake = {"handshake", EV_READ, shake_hands, give_up_handshake};
static const struct front_state handshake_out = {"handshake", EV_WRITE, shake_hands,
                                                 give_up_handshake};
static const struct front_state request = {"request", EV_READ, read_request, give_up};
static const struct front_state request_out = {"request", EV_WRITE, read_request, give_up};
static const struct front_state queued = {"queued", 0, NULL, answer_unavailable};
static const struct front_state waiting = {"waiting", 0, NULL, answer_unavailable};
static const struct front_state answering = {"answering", EV_WRITE, write_answer, give_up};
static const struct front_state answering_in = {"answering", EV_READ, write_answer, give_up};
static const struct front_state lingering = {"lingering", EV_READ, read_rest, connection_end};

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

static void enter(struct connection *c, const struct front_state *s)
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

static void set_deadline(struct connection *c, uint64_t when)
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
    enter(c, &quiet);
    set_deadline(c, c->arrival + SECONDS(f->config->handshake_seconds));
}

struct connection *connection_find(struct front *f, uint64_t number)
{
    struct connection *c;
    LIST_FOREACH(c, &f->buckets[number % FRONT_BUCKETS], in_bucket)
    if (c->number == number)
        return c;
    return NULL;
}

static void charge(struct connection *c)
{
    size_t now = c->request.bytes.capacity;
    c->front->memory += now - c->charged;
    c->charged = now;
}

static void free_request(struct connection *c)
{
    front_request_free(&c->request);
    charge(c);
}

/* The answer's only copies are here and in the frame that it came in: OpenSSL copies what it sends
 * into its record buffer and encrypts it there, in place. */
static void free_answer(struct connection *c)
{
    if (c->out.data)
        wipe(c->out.data, c->out.capacity);
    buffer_free(&c->out);
    c->out = (struct buffer){0};
}

static void free_tls(struct connection *c)
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
    if (c->state == &queued)
        TAILQ_REMOVE(&f->queue, c, in_queue);
    if (c->state->events)
        event_del(&c->io);
    event_del(&c->timer);
    free_tls(c);
    close(c->fd);
    free_request(c);
    free_answer(c);
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
static void linger(struct connection *c)
{
    if (c->ssl && SSL_is_init_finished(c->ssl))
        SSL_shutdown(c->ssl); /* close_notify */
    free_tls(c);
    free_answer(c);
    free_request(c);
    if (shutdown(c->fd, SHUT_WR) < 0) {
        connection_end(c);
        return;
    }
    enter(c, &lingering);
    set_deadline(c, clock_now() + SECONDS(LINGER_SECONDS));
}

static void read_rest(struct connection *c)
{
    char waste[16384];
    ssize_t n = recv(c->fd, waste, sizeof(waste), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        connection_end(c);
}

/* ---- TLS ---- */
/* After an SSL call that did not succeed: whether the same call may do better later. */
static bool try_again(struct connection *c, int r, const struct front_state *in,
                      const struct front_state *out)
{
    switch (SSL_get_error(c->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        enter(c, in);
        return true;
    case SSL_ERROR_WANT_WRITE:
        enter(c, out);
        return true;
    default:
        return false;
    }
}

/* Until now a connection is a socket and this struct. */
static void first_byte(struct connection *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        c->ssl = SSL_new(c->front->tls);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1) {
        connection_end(c);
        return;
    }
    SSL_set_accept_state(c->ssl);
    enter(c, &handshake);
    shake_hands(c);
}

static void shake_hands(struct connection *c)
{
    struct front *f = c->front;
    ERR_clear_error();
    f->signing = c;
    int r = SSL_do_handshake(c->ssl);
    f->signing = NULL;
    if (r != 1 && try_again(c, r, &handshake, &handshake_out))
        return;
    if (r != 1 || !tls_has_alpn(c->ssl) ||
        SSL_export_keying_material(c->ssl, c->exporter, sizeof(c->exporter), CHANNEL_EXPORTER_LABEL,
                                   strlen(CHANNEL_EXPORTER_LABEL), NULL, 0, 0) != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());
        metrics_add(METRIC_HANDSHAKES_FAILED, 1);
        log_line(LOG_DEBUG, "%s: TLS handshake: %s", c->peer,
                 reason ? reason : "the peer left, or does not speak encroot/1");
        linger(c); /* for the alert to arrive */
        return;
    }
    metrics_add(METRIC_HANDSHAKES, 1);
    enter(c, &request);
    set_deadline(c, c->arrival + SECONDS(f->config->request_seconds));
    read_request(c);
}

/* ---- answers ---- */
static void send_answer(struct connection *c, int status, const char *type, struct bytes body)
{
    char head[HTTP_RESPONSE_HEAD_SIZE];
    int n = http_response_head(status, type, body.size, head, NULL);
    if (status == 503)
        metrics_add(METRIC_UNAVAILABLE, 1);
    if (c->state == &queued)
        TAILQ_REMOVE(&c->front->queue, c, in_queue);
    /* At once, so that a growing buffer leaves no copy behind. */
    if (n < 0 || buffer_reserve(&c->out, ANSWER_ROOM) < 0 ||
        buffer_append(&c->out, head, (size_t)n) < 0 ||
        buffer_append(&c->out, body.data, body.size) < 0) {
        enter(c, &answering); /* in no queue */
        connection_end(c);
        return;
    }
    free_request(c);
    enter(c, &answering);
    set_deadline(c, clock_now() + SECONDS(LINGER_SECONDS));
    write_answer(c);
}

static void refuse(struct connection *c, int status, const char *code)
{
    struct release_answer a;
    if (release_answer_begin(&a, NULL) == 0)
        release_answer_refuse(&a, status, code);
    log_line(LOG_DEBUG, "%s: answered %d %s, id %s", c->peer, a.status, code, a.id);
    send_answer(c, a.status, "application/json", BYTES_STR(a.body));
}

static void answer_unavailable(struct connection *c)
{
    metrics_add(METRIC_TIMEOUTS, 1);
    refuse(c, 503, "unavailable");
}

static void write_answer(struct connection *c)
{
    while (c->sent < c->out.size) {
        size_t n = 0;
        ERR_clear_error();
        int r = SSL_write_ex(c->ssl, c->out.data + c->sent, c->out.size - c->sent, &n);
        if (r != 1) {
            if (!try_again(c, r, &answering_in, &answering))
                connection_end(c);
            return;
        }
        c->sent += n;
    }
    linger(c);
}

void connection_decided(struct connection *c, const struct message_answer *m)
{
    if (c->state != &waiting)
        return;
    if (m->status == 200) {
        send_answer(c, 200, "application/octet-stream", BYTES_OF(m->secret));
        return;
    }
    struct release_answer a = {0};
    char code[sizeof(m->code) + 1] = {0};
    memcpy(code, m->code, sizeof(m->code));
    snprintf(a.id, sizeof(a.id), "%s", m->id);
    release_answer_refuse(&a, (int)m->status, code);
    send_answer(c, a.status, "application/json", BYTES_STR(a.body));
}

void connection_abandon(struct connection *c)
{
    if (c->state == &queued || c->state == &waiting || c->state == &request ||
        c->state == &request_out)
        refuse(c, 503, "unavailable");
    else if (c->state == &quiet || c->state == &handshake || c->state == &handshake_out)
        connection_end(c);
}

/* ---- requests ---- */
static void send_evidence(struct connection *c)
{
    struct bytes parts[] = {BYTES_OF(c->exporter), buffer_bytes(&c->request.bytes)};
    TAILQ_REMOVE(&c->front->queue, c, in_queue);
    enter(c, &waiting);
    if (front_send(c->front, &c->front->evidence, MESSAGE_EVIDENCE, c->number, parts, 2) == 0)
        free_request(c);
}

/* One at a time: what the appraiser does not read yet waits here, where it is counted. */
void connection_push_queue(struct front *f)
{
    struct connection *c;
    while (!channel_wants_write(&f->evidence.channel) && (c = TAILQ_FIRST(&f->queue)))
        send_evidence(c);
}

/*
 * There is too much of requests that are not whole yet: the largest goes, so that whoever sends
 * much, slowly, is not in the way of those who send what guests send. Is it this one?
 */
static bool shed_largest(struct front *f, const struct connection *self)
{
    struct connection *c, *largest = NULL;
    for (size_t i = 0; i < FRONT_BUCKETS; i++)
        LIST_FOREACH(c, &f->buckets[i], in_bucket)
    if ((c->state == &request || c->state == &request_out) &&
        (!largest || c->charged > largest->charged))
        largest = c;
    bool is_self = largest == self;
    if (largest)
        refuse(largest, 503, "unavailable");
    return is_self;
}

/* Reading goes on? */
static bool take(struct connection *c, struct bytes in)
{
    struct front *f = c->front;
    struct front_refusal no;
    enum front_request_state s = front_request_feed(&c->request, in, &no);
    charge(c);
    if (s == REQUEST_REFUSED) {
        metrics_add(METRIC_REQUESTS_MALFORMED, 1);
        refuse(c, no.status, no.code);
    } else if (s == REQUEST_WHOLE) {
        enter(c, &queued);
        TAILQ_INSERT_TAIL(&f->queue, c, in_queue);
        connection_push_queue(f);
    }
    return s == REQUEST_PARTIAL && !(f->memory > f->memory_max && shed_largest(f, c));
}

/* The peer will send no more, and this is no request yet. */
static void cut_short(struct connection *c, int error)
{
    if (error == SSL_ERROR_ZERO_RETURN && c->request.bytes.size > 0) {
        metrics_add(METRIC_REQUESTS_MALFORMED, 1);
        refuse(c, 400, "bad-request");
        return;
    }
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    log_line(LOG_DEBUG, "%s: no request: %s", c->peer, reason ? reason : "the peer left");
    connection_end(c);
}

static void read_request(struct connection *c)
{
    /* What guests sent is no secret, and the next one to read overwrites it. */
    static uint8_t portion[16384];
    for (int i = 0; i < READS_AT_ONCE; i++) {
        size_t n = 0;
        ERR_clear_error();
        int r = SSL_read_ex(c->ssl, portion, sizeof(portion), &n);
        if (r != 1) {
            if (!try_again(c, r, &request, &request_out))
                cut_short(c, SSL_get_error(c->ssl, r));
            return;
        }
        if (!take(c, BYTES(portion, n)))
            return;
    }
    enter(c, &request);
}
