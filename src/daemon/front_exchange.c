#include "broker/release.h"
#include "crypto/tls_context.h"
#include "daemon/front_connection.h"
#include "daemon/log.h"
#include "daemon/metrics.h"

#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#define READS_AT_ONCE 16 /* records of one connection before others have their turn */
#define ANSWER_MAX (HTTP_RESPONSE_HEAD_SIZE + 128)

#define HANDSHAKE_BYTES_MAX 16384 /* of a guest's; it needs a thousand, OpenSSL keeps 128 KiB */

/* ---- TLS ---- */
/* After an SSL call that did not succeed: whether the same call may do better later. */
static bool try_again(struct connection *c, int r, const struct front_state *in,
                      const struct front_state *out)
{
    switch (SSL_get_error(c->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        connection_enter(c, in);
        return true;
    case SSL_ERROR_WANT_WRITE:
        connection_enter(c, out);
        return true;
    default:
        return false;
    }
}

/* Until now a connection is a socket and this struct. */
void exchange_first_byte(struct connection *c)
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
    connection_enter(c, &state_handshake);
    exchange_handshake(c);
}

void exchange_handshake(struct connection *c)
{
    struct front *f = c->front;
    ERR_clear_error();
    f->signing = c;
    int r = SSL_do_handshake(c->ssl);
    f->signing = NULL;
    bool more = r != 1 && BIO_number_read(SSL_get_rbio(c->ssl)) <= HANDSHAKE_BYTES_MAX &&
                try_again(c, r, &state_handshake, &state_handshake_out);
    if (more && !c->was_signed) {
        connection_await_hello(c);
        return;
    }
    connection_forget_hello(c);
    if (more)
        return;
    if (r != 1 || !tls_has_alpn(c->ssl) ||
        SSL_export_keying_material(c->ssl, c->exporter, sizeof(c->exporter), CHANNEL_EXPORTER_LABEL,
                                   strlen(CHANNEL_EXPORTER_LABEL), NULL, 0, 0) != 1) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());
        metrics_add(METRIC_HANDSHAKES_FAILED, 1);
        log_line(LOG_DEBUG, "%s: TLS handshake: %s", c->peer,
                 reason ? reason : "the peer left, or does not speak encroot/1");
        connection_linger(c); /* for the alert to arrive */
        return;
    }
    metrics_add(METRIC_HANDSHAKES, 1);
    connection_enter(c, &state_request);
    connection_set_deadline(c, c->arrival + SECONDS(f->config->request_seconds));
    exchange_read(c);
}

/* ---- answers ---- */
/* What TLS makes of `text` and of the end of the connection, in c->out. */
static int seal(struct connection *c, struct bytes text)
{
    BIO *sealed = BIO_new(BIO_s_mem()); /* of what is encrypted: nothing to wipe */
    BUF_MEM *all = NULL;
    size_t n;
    if (!sealed)
        return -ENOMEM;
    SSL_set0_wbio(c->ssl, sealed);
    ERR_clear_error();
    if (SSL_write_ex(c->ssl, text.data, text.size, &n) != 1 || n != text.size)
        return -EIO;
    SSL_shutdown(c->ssl); /* close_notify */
    return BIO_get_mem_ptr(sealed, &all) == 1 ? buffer_append(&c->out, all->data, all->length)
                                              : -EIO;
}

static int seal_answer(struct connection *c, int status, const char *type, struct bytes body)
{
    char head[HTTP_RESPONSE_HEAD_SIZE];
    uint8_t text[ANSWER_MAX];
    int n = http_response_head(status, type, body.size, head, NULL);
    if (n < 0 || (size_t)n + body.size > sizeof(text))
        return -EINVAL;
    memcpy(text, head, (size_t)n);
    memcpy(text + n, body.data, body.size);
    n = seal(c, BYTES(text, (size_t)n + body.size));
    wipe(text, sizeof(text));
    return n;
}

static void send_answer(struct connection *c, int status, const char *type, struct bytes body)
{
    if (c->state == &state_queued)
        TAILQ_REMOVE(&c->front->queue, c, in_queue);
    connection_enter(c, &state_answering);
    if (seal_answer(c, status, type, body) < 0) {
        connection_end(c);
        return;
    }
    connection_free_request(c);
    connection_free_tls(c);
    exchange_write(c);
}

static void refuse(struct connection *c, int status, const char *code)
{
    struct release_answer a;
    if (release_answer_begin(&a, NULL) == 0)
        release_answer_refuse(&a, status, code);
    if (a.status == 503) /* the keeper counts its own */
        metrics_add(METRIC_UNAVAILABLE, 1);
    log_line(LOG_DEBUG, "%s: answered %d %s, id %s", c->peer, a.status, code, a.id);
    send_answer(c, a.status, "application/json", BYTES_STR(a.body));
}

void exchange_unavailable(struct connection *c)
{
    metrics_add(METRIC_TIMEOUTS, 1);
    refuse(c, 503, "unavailable");
}

/* MSG_MORE: the end of the connection follows, and leaves in the same segment. */
void exchange_write(struct connection *c)
{
    while (c->sent < c->out.size) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.size - c->sent,
                         MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            connection_enter(c, &state_answering_out);
            connection_set_deadline(c, clock_now() + SECONDS(LINGER_SECONDS));
            return;
        }
        if (n < 0 && errno != EINTR) {
            connection_end(c);
            return;
        }
        c->sent += n < 0 ? 0 : (size_t)n;
    }
    connection_linger(c);
}

void connection_decided(struct connection *c, const struct message_answer *m)
{
    if (c->state != &state_waiting)
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
    if (c->state == &state_queued || c->state == &state_waiting || c->state == &state_request ||
        c->state == &state_request_out)
        refuse(c, 503, "unavailable");
    else if (c->state == &state_quiet || c->state == &state_handshake ||
             c->state == &state_handshake_out)
        connection_end(c);
}

/* ---- requests ---- */
static void send_evidence(struct connection *c)
{
    struct bytes parts[] = {BYTES_OF(c->exporter), buffer_bytes(&c->request.bytes)};
    TAILQ_REMOVE(&c->front->queue, c, in_queue);
    connection_enter(c, &state_waiting);
    if (front_send(c->front, &c->front->evidence, MESSAGE_EVIDENCE, c->number, parts, 2) == 0)
        connection_free_request(c);
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
    if ((c->state == &state_request || c->state == &state_request_out) &&
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
    connection_charge(c);
    if (s == REQUEST_REFUSED) {
        metrics_add(METRIC_REQUESTS_MALFORMED, 1);
        refuse(c, no.status, no.code);
    } else if (s == REQUEST_WHOLE) {
        connection_enter(c, &state_queued);
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

void exchange_read(struct connection *c)
{
    /* What guests sent is no secret, and the next one to read overwrites it. */
    static uint8_t portion[16384];
    for (int i = 0; i < READS_AT_ONCE; i++) {
        size_t n = 0;
        ERR_clear_error();
        int r = SSL_read_ex(c->ssl, portion, sizeof(portion), &n);
        if (r != 1) {
            if (!try_again(c, r, &state_request, &state_request_out))
                cut_short(c, SSL_get_error(c->ssl, r));
            return;
        }
        if (!take(c, BYTES(portion, n)))
            return;
    }
    connection_enter(c, &state_request);
    /* What OpenSSL has read already makes no socket readable. */
    if (SSL_has_pending(c->ssl))
        event_active(&c->io, EV_READ, 0);
}
