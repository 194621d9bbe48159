/*
 * One connection of the administration: one request, one answer, each bounded in size and time.
 *
 * libevent's own HTTP server bounds neither how many connections there are nor how long a request
 * may take in all, and reads bodies before anyone has said that the peer may send one. So the head
 * is read by protocol/http, as the release service does it; only buffers and TLS are libevent's.
 */
#include "daemon/admin.h"
#include "daemon/log.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX                                                                            \
    64                  /* at once, on each kind of socket; others wait in the kernel's queue      \
                         */
#define STRANGERS_MAX 8 /* of them: such as may do nothing, and are only told so */
#define READ_MAX ((size_t)64 << 10)
#define REFUSED_SECONDS 1
#define LINGER_SECONDS 2 /* for what a refused client still sends */

struct kind { /* UNIX sockets and TLS ones do not take each other's place */
    struct evconnlistener *listeners[CONFIG_LISTEN_MAX];
    size_t listener_count, connections, strangers;
};

struct admin_server {
    struct admin *admin;
    struct event_base *base;
    struct event *retry; /* descriptors or memory had run out */
    struct kind kinds[2];
    LIST_HEAD(, connection) all;
    bool draining;
};

enum stage { HANDSHAKE, HEAD, BODY, ANSWER, LINGER };

struct connection {
    LIST_ENTRY(connection) in_all;
    struct admin_server *server;
    struct kind *kind;
    struct bufferevent *bev;
    struct event *deadline;
    enum stage stage;
    bool encrypted, stranger;
    struct admin_user user;
    struct admin_call call;
    struct buffer body; /* its whole size from the start; wiped */
    size_t body_size;
};

/* ---- begin and end ---- */
static void accept_more(struct admin_server *s, struct kind *k, bool yes)
{
    for (size_t i = 0; i < k->listener_count; i++)
        if (k->listeners[i] && (yes ? evconnlistener_enable(k->listeners[i])
                                    : evconnlistener_disable(k->listeners[i])) < 0)
            log_line(LOG_WARNING, "administration: cannot %s a listening socket",
                     yes ? "resume" : "pause");
}

static void end_if_drained(struct admin_server *s)
{
    if (s->draining && s->kinds[0].connections + s->kinds[1].connections == 0)
        event_base_loopbreak(s->base);
}

static void forget_request(struct connection *c)
{
    admin_call_free(&c->call);
    if (c->body.data)
        wipe(c->body.data, c->body.capacity);
    buffer_free(&c->body);
}

static void connection_end(struct connection *c)
{
    struct admin_server *s = c->server;
    struct kind *k = c->kind;
    LIST_REMOVE(c, in_all);
    forget_request(c);
    if (c->bev)
        bufferevent_free(c->bev);
    if (c->deadline)
        event_free(c->deadline);
    k->strangers -= c->stranger;
    free(c);
    if (k->connections-- == CONNECTIONS_MAX)
        accept_more(s, k, true);
    end_if_drained(s);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    connection_end(arg);
}

static int set_deadline(struct connection *c, unsigned seconds)
{
    const struct timeval t = {.tv_sec = seconds};
    return event_add(c->deadline, &t);
}

/* ---- answer ---- */
static void wipe_sent(const void *data, size_t size, void *arg)
{
    wipe((void *)(uintptr_t)data, size);
    free(arg);
}

static const char security_headers[] =
    "Cache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'\r\n"
    "Connection: close\r\n\r\n";

static int put_answer(struct evbuffer *out, struct admin_reply *reply)
{
    int r =
        evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n", reply->status, http_reason(reply->status));
    if (reply->type)
        r |= evbuffer_add_printf(out, "Content-Type: %s\r\n", reply->type);
    if (reply->status != 204)
        r |= evbuffer_add_printf(out, "Content-Length: %zu\r\n", reply->body.size);
    r |= evbuffer_add(out, security_headers, sizeof(security_headers) - 1);
    if (r < 0)
        return -ENOMEM;
    if (reply->body.size == 0)
        return 0;
    /* Sent from where it is, and wiped there: it may hold a secret. */
    r = evbuffer_add_reference(out, reply->body.data, reply->body.size, wipe_sent,
                               reply->body.data);
    if (r == 0)
        reply->body = (struct buffer){0};
    return r < 0 ? -ENOMEM : 0;
}

static void answer(struct connection *c)
{
    c->stage = ANSWER;
    if (put_answer(bufferevent_get_output(c->bev), &c->call.reply) < 0 ||
        set_deadline(c, c->server->admin->config->request_seconds) < 0) {
        connection_end(c);
        return;
    }
    forget_request(c);
}

static void refuse(struct connection *c, int r, const struct error *err)
{
    admin_fail(&c->call.reply, r, err);
    answer(c);
}

static void refuse_with(struct connection *c, int status, const struct error *err)
{
    admin_fail(&c->call.reply, -err->code, err);
    c->call.reply.status = status;
    answer(c);
}

/*
 * All is written. To close with bytes unread would make the kernel reset the connection, and the
 * client might never see why it was refused.
 */
static void on_write(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    if (c->stage != ANSWER)
        return;
    c->stage = LINGER;
    SSL *ssl = c->encrypted ? bufferevent_openssl_get_ssl(bev) : NULL;
    if (ssl)
        SSL_shutdown(ssl);
    shutdown(bufferevent_getfd(bev), SHUT_WR);
    evbuffer_drain(bufferevent_get_input(bev), evbuffer_get_length(bufferevent_get_input(bev)));
    if (set_deadline(c, LINGER_SECONDS) < 0)
        connection_end(c);
}

/* ---- read ---- */
static ssize_t read_buffered(void *arg, void *p, size_t n, struct error *err)
{
    return evbuffer_remove(arg, p, n);
}

static void handle(struct connection *c)
{
    admin_handle(&c->call, buffer_bytes(&c->body));
    answer(c);
}

/* Straight to where it belongs; what it leaves behind in the buffers is wiped. */
static void take_body(struct connection *c, struct evbuffer *in)
{
    struct evbuffer_iovec part;
    while (c->body.size < c->body_size && evbuffer_peek(in, -1, NULL, &part, 1) > 0) {
        size_t n = c->body_size - c->body.size;
        if (n > part.iov_len)
            n = part.iov_len;
        memcpy(c->body.data + c->body.size, part.iov_base, n);
        wipe(part.iov_base, n);
        c->body.size += n;
        if (evbuffer_drain(in, n) < 0) {
            connection_end(c);
            return;
        }
    }
    if (c->body.size == c->body_size)
        handle(c);
}

static int read_head(struct connection *c, struct evbuffer *in, struct http_request *head,
                     struct error *err)
{
    struct http_header wanted[] = {{"Host", ""}, {"Origin", ""}, {"X-Encroot-Admin", ""}};
    struct http_stream stream = {.read = read_buffered, .arg = in};
    int r = http_read_request_with(&stream, head, wanted, ARRAY_SIZE(wanted), err);
    const struct admin_origin origin = {.encrypted = c->encrypted,
                                        .host = wanted[0].value,
                                        .origin = wanted[1].value,
                                        .marker = wanted[2].value};
    return r < 0 ? r : admin_route(&c->call, head, &origin, err);
}

static void take_head(struct connection *c, struct evbuffer *in)
{
    struct error err = {0};
    struct http_request head;
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    if (end.pos < 0 && evbuffer_get_length(in) <= HTTP_HEAD_MAX)
        return;
    if (end.pos < 0 || end.pos > HTTP_HEAD_MAX - 4) {
        error_set(&err, EFBIG, "the request's head exceeds %d bytes", HTTP_HEAD_MAX);
        refuse_with(c, 431, &err);
        return;
    }
    int r = read_head(c, in, &head, &err);
    if (r == 0) {
        c->body_size = head.content_length;
        c->stage = BODY;
        if (buffer_reserve(&c->body, c->body_size + 1) < 0)
            r = error_set(&err, ENOMEM, "out of memory");
    }
    if (r == -EPROTO)
        refuse_with(c, 400, &err);
    else if (r < 0)
        refuse(c, r, &err);
    else
        take_body(c, in);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    if (c->stage == HEAD) {
        take_head(c, in);
    } else if (c->stage == BODY) {
        take_body(c, in);
    } else {
        if (evbuffer_drain(in, evbuffer_get_length(in)) < 0)
            connection_end(c);
    }
}

/* A client that is refused by TLS is to read the alert that says so, as above. */
static void refuse_handshake(struct connection *c)
{
    c->stage = LINGER;
    shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    if (bufferevent_disable(c->bev, EV_READ | EV_WRITE) < 0 || set_deadline(c, REFUSED_SECONDS) < 0)
        connection_end(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct connection *c = arg;
    uint8_t pin[32];
    if (c->stage == HANDSHAKE && what & BEV_EVENT_ERROR) {
        refuse_handshake(c);
        return;
    }
    if (!(what & BEV_EVENT_CONNECTED)) {
        connection_end(c);
        return;
    }
    /* The handshake let in known keys only; whose it is. */
    if (tls_mutual_pin(bufferevent_openssl_get_ssl(bev), pin) < 0 ||
        !admin_peer_of_pin(c->server->admin->config, pin, &c->user) ||
        set_deadline(c, c->server->admin->config->request_seconds) < 0) {
        connection_end(c);
        return;
    }
    c->stage = HEAD;
}

/* ---- accept ---- */
static struct bufferevent *wrap_socket(struct connection *c, int fd)
{
    struct admin_server *s = c->server;
    if (!c->encrypted)
        return bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
    SSL *ssl = SSL_new(s->admin->tls);
    struct bufferevent *bev =
        ssl ? bufferevent_openssl_socket_new(s->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                             BEV_OPT_CLOSE_ON_FREE)
            : NULL;
    if (ssl && !bev)
        SSL_free(ssl);
    return bev;
}

/* Any user of the machine may connect to the socket: they do not take the places of those who may
 * do something. */
static int identify(struct connection *c, int fd)
{
    struct error err = {0};
    if (admin_peer_of_socket(&c->server->admin->groups, fd, &c->user, &err) < 0) {
        log_error(LOG_WARNING, &err, "administration");
        return -EIO;
    }
    if (c->user.role != ADMIN_NONE)
        return 0;
    if (c->kind->strangers == STRANGERS_MAX)
        return -EBUSY;
    c->stranger = true;
    c->kind->strangers++;
    return 0;
}

static int begin(struct connection *c, int fd)
{
    const struct daemon_config *config = c->server->admin->config;
    c->call.admin = c->server->admin;
    c->call.user = &c->user;
    c->stage = c->encrypted ? HANDSHAKE : HEAD;
    int r = c->encrypted ? 0 : identify(c, fd);
    if (r < 0)
        return r;
    c->deadline = evtimer_new(c->server->base, on_deadline, c);
    if (!c->deadline ||
        set_deadline(c, c->encrypted ? config->handshake_seconds : config->request_seconds) < 0)
        return -ENOMEM;
    c->bev = wrap_socket(c, fd);
    if (!c->bev)
        return -ENOMEM;
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, READ_MAX);
    return bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void accepted(struct admin_server *s, struct kind *k, int fd)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (!c) {
        close(fd);
        return;
    }
    LIST_INSERT_HEAD(&s->all, c, in_all);
    c->server = s;
    c->kind = k;
    c->encrypted = k == &s->kinds[1];
    if (++k->connections == CONNECTIONS_MAX)
        accept_more(s, k, false);
    if (begin(c, fd) < 0) {
        if (!c->bev)
            close(fd);
        connection_end(c);
    }
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *peer, int size,
                      void *arg)
{
    struct admin_server *s = arg;
    accepted(s, &s->kinds[0], fd);
}

static void on_accept_tls(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *peer,
                          int size, void *arg)
{
    struct admin_server *s = arg;
    accepted(s, &s->kinds[1], fd);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct admin_server *s = arg;
    for (size_t i = 0; i < ARRAY_SIZE(s->kinds); i++)
        if (s->kinds[i].connections < CONNECTIONS_MAX)
            accept_more(s, &s->kinds[i], true);
}

/* No descriptor left: a socket that stays readable must not keep the processor busy. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
    static const struct timeval second = {.tv_sec = 1};
    struct admin_server *s = arg;
    log_line(LOG_WARNING, "administration: accepting a connection: %s", strerror(errno));
    if (event_add(s->retry, &second) == 0)
        for (size_t i = 0; i < ARRAY_SIZE(s->kinds); i++)
            accept_more(s, &s->kinds[i], false);
}

/* ---- the server ---- */
int admin_server_start(struct admin_server **ret, struct admin *a, void *event_base,
                       struct error *err)
{
    struct admin_server *s = calloc(1, sizeof(*s));
    if (!s)
        return error_set(err, ENOMEM, "out of memory");
    s->admin = a;
    s->base = event_base;
    s->retry = evtimer_new(s->base, on_retry, s);
    if (!s->retry) {
        free(s);
        return error_set(err, ENOMEM, "out of memory");
    }
    *ret = s;
    return 0;
}

int admin_server_listen(struct admin_server *s, int fd, bool encrypted, struct error *err)
{
    struct kind *k = &s->kinds[encrypted];
    if (k->listener_count == ARRAY_SIZE(k->listeners))
        return error_set(err, E2BIG, "too many sockets to listen on");
    if (evutil_make_socket_nonblocking(fd) < 0)
        return error_errno(err, errno, "listening socket");
    struct evconnlistener *l =
        evconnlistener_new(s->base, encrypted ? on_accept_tls : on_accept, s,
                           LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!l)
        return error_set(err, ENOMEM, "out of memory");
    evconnlistener_set_error_cb(l, on_accept_error);
    k->listeners[k->listener_count++] = l;
    return 0;
}

static void stop_listening(struct admin_server *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(s->kinds); i++)
        for (size_t n = 0; n < s->kinds[i].listener_count; n++) {
            if (s->kinds[i].listeners[n])
                evconnlistener_free(s->kinds[i].listeners[n]);
            s->kinds[i].listeners[n] = NULL;
        }
}

void admin_server_drain(struct admin_server *s)
{
    stop_listening(s);
    s->draining = true;
    end_if_drained(s);
}

void admin_server_free(struct admin_server *s)
{
    if (!s)
        return;
    stop_listening(s);
    for (struct connection *c; (c = LIST_FIRST(&s->all));)
        connection_end(c); /* the process ends sooner than they; what they hold is wiped */
    event_free(s->retry);
    free(s);
}
