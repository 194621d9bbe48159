#include "daemon/front.h"
#include "daemon/confine.h"
#include "daemon/handoff.h"
#include "daemon/log.h"
#include "daemon/metrics.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define HANDOFFS_AT_ONCE 32
#define LAST_WORDS_SECONDS 3 /* for the answers when a wire went */

/* ---- ends ---- */
static void abandon_all(struct front *f)
{
    struct connection *c, *next;
    for (size_t i = 0; i < FRONT_BUCKETS; i++)
        for (c = LIST_FIRST(&f->buckets[i]); c; c = next) {
            next = LIST_NEXT(c, in_bucket);
            connection_abandon(c);
        }
}

static void take_no_more(struct front *f)
{
    if (!f->no_more)
        event_del(&f->handed);
    f->no_more = true;
    if (f->count == 0)
        event_base_loopbreak(f->base);
}

/* First the answers are begun, then there is an end to waiting for guests to take them. */
static void given_up(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    (void)fd;
    if (what & EV_TIMEOUT)
        event_base_loopbreak(f->base);
    else
        abandon_all(f);
}

void front_give_up(struct front *f, int r, const struct error *err)
{
    if (f->result < 0)
        return;
    f->result = r;
    f->error = *err;
    take_no_more(f);
    event_add(&f->over, &(struct timeval){.tv_sec = LAST_WORDS_SECONDS});
    event_active(&f->over, EV_READ, 0);
}

void front_gate_left(struct front *f)
{
    take_no_more(f);
}

/* ---- wires ---- */
int front_send(struct front *f, struct front_wire *w, uint32_t type, uint64_t connection,
               const struct bytes *parts, size_t count)
{
    struct error err = {0};
    int r = channel_send(&w->channel, type, connection, parts, count, &err);
    if (r < 0 && w == &f->sign)
        front_gate_left(f);
    else if (r < 0)
        front_give_up(f, r, &err);
    else if (channel_wants_write(&w->channel))
        event_add(&w->writable, NULL);
    return r;
}

static void flush(struct front *f, struct front_wire *w)
{
    struct error err = {0};
    int r = channel_flush(&w->channel, &err);
    if (r < 0 && w != &f->sign)
        front_give_up(f, r, &err);
    else if (r == 0 && channel_wants_write(&w->channel))
        event_add(&w->writable, NULL);
}

static void sign_writable(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    (void)fd, (void)what;
    flush(f, &f->sign);
}

static void evidence_writable(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    (void)fd, (void)what;
    flush(f, &f->evidence);
    connection_push_queue(f);
}

/* The supervisor says nothing to a front; when it ends, so does all else. */
static void control_readable(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    struct frame frame;
    struct channel *c = &f->control.channel;
    (void)fd, (void)what;
    int r = channel_fill(c, NULL);
    while (r == 0 && (r = channel_next(c, &frame, NULL)) > 0)
        r = 0;
    if (r < 0 || c->ended)
        event_base_loopbreak(f->base);
}

/* For wires on which nothing comes unasked: an event without a reason is no reason to end. */
static bool spoke(const struct channel *c)
{
    return c->ended || c->in.size > c->taken;
}

/* The gate's answers are read where they are waited for: what comes otherwise is its end. */
static void sign_readable(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    struct error err = {0};
    (void)fd, (void)what;
    int r = channel_fill(&f->sign.channel, &err);
    if (r == 0 && !spoke(&f->sign.channel))
        return;
    if (r == 0 && !f->sign.channel.ended)
        r = error_set(&err, EPROTO, "gate: it answered what was not asked");
    event_del(&f->sign.readable);
    if (r == -EPROTO)
        front_give_up(f, r, &err);
    else
        front_gate_left(f);
}

static void evidence_readable(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    struct error err = {0};
    (void)fd, (void)what;
    int r = channel_fill(&f->evidence.channel, &err);
    if (r == 0 && !spoke(&f->evidence.channel))
        return;
    if (r == 0)
        r = error_set(&err, ECONNRESET, "appraiser: it ended");
    event_del(&f->evidence.readable);
    front_give_up(f, r, &err);
}

static int take_answer(struct front *f, const struct frame *frame, struct error *err)
{
    struct message_answer m;
    if (frame->type != MESSAGE_ANSWER || frame->body.size != sizeof(m))
        return error_set(err, EPROTO, "a frame of type %u with %zu bytes", frame->type,
                         frame->body.size);
    struct connection *c = connection_find(f, frame->connection);
    if (!c) /* its time was up */
        return 0;
    memcpy(&m, frame->body.data, sizeof(m));
    connection_decided(c, &m);
    wipe(&m, sizeof(m));
    return 0;
}

/* Each answer is wiped when the next one is looked for. */
static void answers_readable(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    struct channel *c = &f->answers.channel;
    struct error err = {0};
    struct frame frame;
    (void)fd, (void)what;
    int r = channel_fill(c, &err);
    while (r == 0 && (r = channel_next(c, &frame, &err)) > 0)
        r = take_answer(f, &frame, &err);
    if (r == 0 && !c->ended)
        return;
    if (r == 0)
        r = error_set(&err, ECONNRESET, "it ended");
    error_prefix(&err, r, "keeper");
    event_del(&f->answers.readable);
    front_give_up(f, r, &err);
}

/* ---- newcomers ---- */
static void handed(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    struct message_connection m;
    struct error err = {0};
    uint64_t number;
    int socket, r = 1;
    (void)fd, (void)what;
    for (int i = 0; i < HANDOFFS_AT_ONCE && !f->no_more; i++) {
        r = handoff_receive(f->handoff, &number, &m, &socket, &err);
        if (r == -EMFILE) {
            log_error(LOG_WARNING, &err, "a connection is lost");
            metrics_add(METRIC_CONNECTIONS_SHED, 1);
            front_send(f, &f->sign, MESSAGE_ENDED, number, NULL, 0);
        } else if (r == 1) {
            connection_begin(f, number, m.peer, socket);
        } else {
            break;
        }
    }
    if (r == 0 || r == -ECONNRESET)
        front_gate_left(f);
    else if (r < 0 && r != -EAGAIN && r != -EMFILE)
        front_give_up(f, r, &err);
}

/* ---- set up ---- */
static int open_wire(struct front *f, struct front_wire *w, const struct process *p,
                     enum wire which, event_callback_fn readable, event_callback_fn writable,
                     struct error *err)
{
    if (p->count[which] != 1)
        return error_set(err, EINVAL, "the supervisor gave the wrong descriptors");
    channel_init(&w->channel, p->fds[which][0]);
    int fd = w->channel.fd;
    event_assign(&w->readable, f->base, fd, EV_READ | EV_PERSIST, readable, f);
    event_assign(&w->writable, f->base, fd, EV_WRITE, writable, f);
    return event_add(&w->readable, NULL) < 0 ? error_set(err, EIO, "libevent") : 0;
}

static int open_wires(struct front *f, const struct process *p, struct error *err)
{
    int r = open_wire(f, &f->control, p, WIRE_CONTROL, control_readable, control_readable, err);
    if (r == 0)
        r = open_wire(f, &f->sign, p, WIRE_SIGN, sign_readable, sign_writable, err);
    if (r == 0)
        r = open_wire(f, &f->evidence, p, WIRE_EVIDENCE, evidence_readable, evidence_writable, err);
    if (r == 0)
        r = open_wire(f, &f->answers, p, WIRE_ANSWER, answers_readable, answers_readable, err);
    if (r == 0 && p->count[WIRE_HANDOFF] != 1)
        r = error_set(err, EINVAL, "the supervisor gave the wrong descriptors");
    if (r < 0)
        return r;
    f->handoff = p->fds[WIRE_HANDOFF][0];
    event_assign(&f->handed, f->base, f->handoff, EV_READ | EV_PERSIST, handed, f);
    event_assign(&f->over, f->base, -1, 0, given_up, f);
    return event_add(&f->handed, NULL) < 0 ? error_set(err, EIO, "libevent") : 0;
}

/* A descriptor for every connection, as far as the system allows it. */
static void raise_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
}

static int set_up(struct front *f, const struct process *p, struct error *err)
{
    struct event_config *c = event_config_new();
    if (c && event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0)
        f->base = event_base_new_with_config(c);
    if (c)
        event_config_free(c);
    if (!f->base)
        return error_set(err, EIO, "libevent: no event base");
    unsigned workers = f->config->workers ? f->config->workers : 1;
    TAILQ_INIT(&f->queue);
    TAILQ_INIT(&f->hellos);
    f->memory_max = FRONT_MEMORY_MAX / workers;
    f->hello_max = FRONT_HELLOS_MAX / workers;
    raise_limit();
    int r = front_tls_open(f, err);
    if (r == 0)
        r = open_wires(f, p, err);
    return r;
}

static void free_front(struct front *f)
{
    struct connection *c;
    f->no_more = true;
    for (size_t i = 0; i < FRONT_BUCKETS; i++)
        while ((c = LIST_FIRST(&f->buckets[i])))
            connection_end(c);
    channel_free(&f->answers.channel);
    channel_free(&f->evidence.channel);
    channel_free(&f->sign.channel);
    channel_free(&f->control.channel);
    if (f->handoff >= 0)
        close(f->handoff);
    front_tls_close(f);
    if (f->base)
        event_base_free(f->base);
}

int front_run(struct process *p, struct error *err)
{
    static struct front f; /* zero, and too large for a stack */
    f = (struct front){.config = p->config, .handoff = -1};
    f.control.channel.fd = f.sign.channel.fd = f.evidence.channel.fd = f.answers.channel.fd = -1;
    int r = confine_early(ROLE_FRONT, err);
    signal(SIGPIPE, SIG_IGN);
    if (r == 0)
        r = set_up(&f, p, err);
    if (r == 0)
        r = confine(ROLE_FRONT, err);
    if (r == 0)
        r = channel_send(&f.control.channel, MESSAGE_READY, 0, NULL, 0, err);
    if (r == 0) {
        event_base_dispatch(f.base);
        r = f.result;
        if (r < 0 && err)
            *err = f.error;
    }
    free_front(&f);
    return r;
}
