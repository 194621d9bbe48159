/* The monitor: GET /healthz and GET /metrics, without TLS, for those who watch the broker. */
#include "crypto/tls.h"
#include "daemon/confine.h"
#include "daemon/messages.h"
#include "daemon/metrics.h"
#include "daemon/process.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#define REQUEST_SECONDS 10
#define HEAD_MAX 8192
#define BODY_MAX 1024
#define DESCRIPTORS_MAX 256
#define ALL_METHODS                                                                                \
    (EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |     \
     EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

struct monitor {
    struct event_base *base;
    struct evhttp *http;
    struct event *news, *resume;
    struct evhttp_bound_socket *bound[CONFIG_LISTEN_MAX];
    size_t listener_count;
    struct channel control;
    bool draining;
};

/* libevent hands a listener's error callback the argument of its other one, which is evhttp's. */
static struct monitor *the_monitor;

/* ---- answers ---- */
static void answer(struct evhttp_request *request, int status, const char *reason, const char *type,
                   struct bytes body)
{
    struct evkeyvalq *head = evhttp_request_get_output_headers(request);
    struct evbuffer *out = evhttp_request_get_output_buffer(request);
    if (evhttp_add_header(head, "Content-Type", type) < 0 ||
        evhttp_add_header(head, "Cache-Control", "no-store") < 0 ||
        evhttp_add_header(head, "Connection", "close") < 0 ||
        evbuffer_add(out, body.data, body.size) < 0)
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
    else
        evhttp_send_reply(request, status, reason, NULL);
}

static const char plain[] = "text/plain; charset=utf-8";

static bool refuse_method(struct evhttp_request *request)
{
    if (evhttp_request_get_command(request) == EVHTTP_REQ_GET)
        return false;
    evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET");
    answer(request, HTTP_BADMETHOD, "Method Not Allowed", plain, BYTES_STR("only GET\n"));
    return true;
}

/* NULL: none. */
static const char *health_problem(void)
{
    if (!metrics_get(METRIC_GENERATION))
        return "it starts: not all of its processes are ready\n";
    return metrics_get(METRIC_STORE_UP) ? NULL : "the store does not answer: nothing is released\n";
}

static void answer_health(struct evhttp_request *request, void *arg)
{
    if (refuse_method(request))
        return;
    const char *problem = health_problem();
    if (problem)
        answer(request, HTTP_SERVUNAVAIL, "Service Unavailable", plain, BYTES_STR(problem));
    else
        answer(request, HTTP_OK, "OK", plain, BYTES_STR("ok\n"));
}

static void answer_metrics(struct evhttp_request *request, void *arg)
{
    _buffer_ struct buffer text = {0};
    struct error err = {0};
    if (refuse_method(request))
        return;
    if (metrics_format(&text, &err) < 0)
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
    else
        answer(request, HTTP_OK, "OK", "text/plain; version=0.0.4; charset=utf-8",
               buffer_bytes(&text));
}

static void answer_nothing(struct evhttp_request *request, void *arg)
{
    answer(request, HTTP_NOTFOUND, "Not Found", plain,
           BYTES_STR("there are /healthz and /metrics\n"));
}

/* ---- the supervisor ---- */
/* Accepts no more. */
static int drain(struct monitor *m, struct error *err)
{
    for (size_t i = 0; i < m->listener_count; i++)
        evhttp_del_accept_socket(m->http, m->bound[i]);
    event_del(m->resume);
    event_del(m->news);
    m->draining = true;
    event_base_loopbreak(m->base);
    return channel_send(&m->control, MESSAGE_CLOSED, 0, NULL, 0, err);
}

static void take_news(evutil_socket_t fd, short what, void *arg)
{
    struct monitor *m = arg;
    struct frame f;
    struct error err = {0};
    int r = channel_fill(&m->control, &err);
    while (r == 0 && (r = channel_next(&m->control, &f, &err)) > 0)
        r = f.type == MESSAGE_DRAIN ? drain(m, &err) : 0;
    if (r < 0 || m->control.ended)
        event_base_loopbreak(m->base);
}

/* ---- life ---- */
/* No descriptor is left: connections wait until others are answered or too old. */
static void pause_accepting(struct evconnlistener *l, void *http)
{
    struct monitor *m = the_monitor;
    const struct timeval moment = {.tv_usec = 100000};
    for (size_t i = 0; i < m->listener_count; i++)
        evconnlistener_disable(evhttp_bound_socket_get_listener(m->bound[i]));
    event_add(m->resume, &moment);
}

static void resume_accepting(evutil_socket_t fd, short what, void *arg)
{
    struct monitor *m = arg;
    for (size_t i = 0; i < m->listener_count; i++)
        evconnlistener_enable(evhttp_bound_socket_get_listener(m->bound[i]));
}

static int accept_on(struct monitor *m, int fd, struct error *err)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        return error_errno(err, errno, "monitor-listen");
    struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(m->http, fd);
    if (!bound)
        return error_set(err, ENOMEM, "out of memory");
    evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(bound), pause_accepting);
    m->bound[m->listener_count++] = bound;
    return 0;
}

static int serve_http(struct monitor *m, const struct process *p, struct error *err)
{
    m->http = evhttp_new(m->base);
    if (!m->http || evhttp_set_cb(m->http, "/healthz", answer_health, m) < 0 ||
        evhttp_set_cb(m->http, "/metrics", answer_metrics, m) < 0)
        return error_set(err, ENOMEM, "out of memory");
    evhttp_set_gencb(m->http, answer_nothing, m);
    evhttp_set_allowed_methods(m->http, ALL_METHODS); /* else they are answered 501 */
    evhttp_set_timeout(m->http, REQUEST_SECONDS);
    evhttp_set_max_headers_size(m->http, HEAD_MAX);
    evhttp_set_max_body_size(m->http, BODY_MAX);
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->count[WIRE_MONITOR]; i++)
        r = accept_on(m, p->fds[WIRE_MONITOR][i], err);
    return r;
}

static int set_up(struct monitor *m, struct process *p, struct error *err)
{
    channel_init(&m->control, p->fds[WIRE_CONTROL][0]);
    m->base = event_base_new();
    m->news =
        m->base ? event_new(m->base, m->control.fd, EV_READ | EV_PERSIST, take_news, m) : NULL;
    m->resume = m->base ? evtimer_new(m->base, resume_accepting, m) : NULL;
    if (!m->news || !m->resume || event_add(m->news, NULL) < 0)
        return error_set(err, ENOMEM, "out of memory");
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){DESCRIPTORS_MAX, DESCRIPTORS_MAX}) < 0)
        return error_errno(err, errno, "RLIMIT_NOFILE");
    int r = serve_http(m, p, err);
    return r < 0 ? r : confine(ROLE_MONITOR, err);
}

/*
 * Until it drains, and then until the last connection ends. libevent ends those that are silent for
 * REQUEST_SECONDS; who says a byte at a time holds up no reload, and no end, for longer.
 */
static int serve(struct monitor *m, struct error *err)
{
    int r = event_base_dispatch(m->base);
    uint64_t last = clock_now() + SECONDS(REQUEST_SECONDS);
    while (r == 0 && m->draining && clock_now() < last)
        r = event_base_loop(m->base, EVLOOP_ONCE);
    return r < 0 ? error_set(err, EIO, "the event loop failed") : 0;
}

int monitor_run(struct process *p, struct error *err)
{
    struct monitor m = {.control = {.fd = -1}};
    the_monitor = &m;
    int r = set_up(&m, p, err);
    if (r == 0)
        r = channel_send(&m.control, MESSAGE_READY, 0, NULL, 0, err);
    if (r == 0)
        r = serve(&m, err);
    if (m.http)
        evhttp_free(m.http);
    if (m.news)
        event_free(m.news);
    if (m.resume)
        event_free(m.resume);
    if (m.base)
        event_base_free(m.base);
    channel_free(&m.control);
    return r;
}
