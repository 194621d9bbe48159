#include "daemon/gate.h"
#include "daemon/confine.h"
#include "daemon/log.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#define DRAIN_GRACE 5 /* seconds beyond the last request's deadline */
/* Bytes of what the keeper was not told yet: it may wait for its store. Newcomers wait, too. */
#define UNTOLD_ENOUGH ((size_t)256 << 10)

/* ---- set up ---- */
static int open_wires(struct gate *g, struct process *p, struct error *err)
{
    if (p->count[WIRE_CONTROL] != 1 || p->count[WIRE_PEERS] != 1 || p->count[WIRE_SIGN] == 0 ||
        p->count[WIRE_SIGN] != p->count[WIRE_HANDOFF] || p->count[WIRE_RELEASE] == 0)
        return error_set(err, EINVAL, "the supervisor gave the wrong descriptors");
    channel_init(&g->control, p->fds[WIRE_CONTROL][0]);
    channel_init(&g->peers, p->fds[WIRE_PEERS][0]);
    g->front_count = p->count[WIRE_SIGN];
    for (size_t i = 0; i < g->front_count; i++) {
        channel_init(&g->fronts[i].sign, p->fds[WIRE_SIGN][i]);
        /* Nothing that a front may send is longer. */
        g->fronts[i].sign.frame_max = sizeof(struct message_sign);
        g->fronts[i].handoff = p->fds[WIRE_HANDOFF][i];
    }
    g->peers.frame_max = sizeof(struct message_checkpoint);
    g->listener_count = p->count[WIRE_RELEASE];
    for (size_t i = 0; i < g->listener_count; i++) {
        int fd = g->listeners[i] = p->fds[WIRE_RELEASE][i];
        /* Accepted sockets inherit it. Another generation may take what poll saw here. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    return 0;
}

static int load_key(struct gate *g, struct error *err)
{
    static const struct message_sign trial = {.size = 32};
    _buffer_ struct buffer der = {0};
    int r = tls_identity_load(&g->identity, g->config->key, g->config->certificate, err);
    if (r < 0)
        return r;
    /* Whether it can sign at all; and OpenSSL finds everything that it looks for. */
    r = gate_sign_transcript(g, &trial, &der, err);
    return r < 0 ? error_hint(err, error_prefix(err, r, "%s", g->config->key),
                              "make one with: encroot init")
                 : 0;
}

static void close_listeners(struct gate *g)
{
    for (size_t i = 0; i < g->listener_count; i++)
        close(g->listeners[i]);
    g->listener_count = 0;
}

static void free_gate(struct gate *g)
{
    close_listeners(g);
    for (size_t i = 0; i < g->front_count; i++) {
        channel_free(&g->fronts[i].sign);
        close(g->fronts[i].handoff);
    }
    channel_free(&g->peers);
    channel_free(&g->control);
    gate_table_free(&g->table);
    tls_identity_free(g->identity);
}

/* ---- serve ---- */
/* control, peers, sign wires, then either listening sockets or hand-off wires. */
#define POLL_MAX (2 + 2 * CONFIG_WORKERS_MAX)

static void watch_channel(struct pollfd *p, const struct channel *c)
{
    *p = (struct pollfd){.fd = c->fd, .events = POLLIN};
    if (channel_wants_write(c))
        p->events |= POLLOUT;
}

static size_t watch(const struct gate *g, struct pollfd p[POLL_MAX], uint64_t now)
{
    size_t n = 0;
    watch_channel(&p[n++], &g->control);
    watch_channel(&p[n++], &g->peers);
    for (size_t i = 0; i < g->front_count; i++)
        watch_channel(&p[n++], &g->fronts[i].sign);
    if (g->listener_count == 0 || now < g->accept_after ||
        channel_waiting(&g->peers) >= UNTOLD_ENOUGH)
        return n;
    if (g->crowded)
        for (size_t i = 0; i < g->front_count; i++)
            p[n++] = (struct pollfd){.fd = g->fronts[i].handoff, .events = POLLOUT};
    else
        for (size_t i = 0; i < g->listener_count; i++)
            p[n++] = (struct pollfd){.fd = g->listeners[i], .events = POLLIN};
    return n;
}

/* Milliseconds until something is to be done without a wire saying so; -1: never. */
static int pause_length(const struct gate *g, uint64_t now)
{
    uint64_t until = g->drain_until;
    if (g->listener_count > 0 && now < g->accept_after)
        until = g->accept_after;
    if (!until)
        return -1;
    return until <= now ? 0 : (int)((until - now) / 1000000u + 1);
}

/*
 * poll looks at no more descriptors than RLIMIT_NOFILE allows, which may have been lowered below
 * what is open: then one after the other. With a limit of 0 it looks at nothing, and time passes.
 */
#define LOOK_AGAIN 50 /* milliseconds */

static int wait_for_news(struct pollfd *p, size_t count, int pause)
{
    int came = poll(p, count, pause);
    if (came >= 0 || errno != EINVAL)
        return came;
    came = 0;
    for (size_t i = 0; i < count; i++)
        came += poll(&p[i], 1, 0) > 0;
    return came ? came : poll(NULL, 0, LOOK_AGAIN);
}

static int serve_control(struct gate *g, bool *over, struct error *err)
{
    struct frame f;
    int r = channel_fill(&g->control, err);
    while (r == 0 && (r = channel_next(&g->control, &f, err)) > 0) {
        r = 0;
        if (f.type != MESSAGE_DRAIN || g->drain_until)
            continue;
        close_listeners(g);
        g->drain_until = clock_now() + SECONDS(g->config->request_seconds + DRAIN_GRACE);
        r = channel_send(&g->control, MESSAGE_CLOSED, 0, NULL, 0, err);
    }
    *over = g->control.ended;
    return error_prefix(err, r, "supervisor");
}

/* What came, signatures first: guests that are here wait for them. */
static int serve_wires(struct gate *g, const struct pollfd *p, bool *over, struct error *err)
{
    int r = p[0].revents ? serve_control(g, over, err) : 0;
    if (r == 0 && *over)
        return 0;
    for (size_t i = 0; i < g->front_count && r == 0; i++) {
        short came = p[2 + i].revents;
        if (came & POLLOUT)
            r = channel_flush(&g->fronts[i].sign, err);
        if (r == 0 && (came & ~POLLOUT))
            r = gate_serve_front(g, i, err);
    }
    if (r == 0 && (p[1].revents & POLLOUT))
        r = channel_flush(&g->peers, err);
    if (r == 0 && (p[1].revents & ~POLLOUT))
        r = gate_serve_keeper(g, err);
    return r;
}

static int serve_newcomers(struct gate *g, const struct pollfd *p, size_t count, struct error *err)
{
    int r = 0;
    if (g->listener_count == 0)
        return 0;
    for (size_t i = 2 + g->front_count; i < count && r == 0; i++) {
        if (!p[i].revents)
            continue;
        if (g->crowded) {
            g->crowded = false;
            break;
        }
        r = gate_accept(g, p[i].fd, err);
        if (g->crowded || g->accept_after)
            break;
    }
    return r;
}

static int serve(struct gate *g, struct error *err)
{
    struct pollfd p[POLL_MAX];
    for (;;) {
        uint64_t now = clock_now();
        if (g->drain_until && (g->table.count == 0 || now >= g->drain_until))
            return 0;
        if (now >= g->accept_after)
            g->accept_after = 0;
        size_t count = watch(g, p, now);
        if (wait_for_news(p, count, pause_length(g, now)) < 0) {
            if (errno == EINTR)
                continue;
            return error_errno(err, errno, "waiting");
        }
        bool over = false;
        int r = serve_wires(g, p, &over, err);
        if (over)
            return 0;
        if (r == 0)
            r = serve_newcomers(g, p, count, err);
        if (r < 0)
            return r;
    }
}

int gate_run(struct process *p, struct error *err)
{
    struct gate g = {.config = p->config, .control.fd = -1, .peers.fd = -1};
    int r = confine_early(ROLE_GATE, err);
    if (r == 0)
        r = open_wires(&g, p, err);
    if (r < 0)
        return r;
    signal(SIGPIPE, SIG_IGN);
    r = gate_table_init(&g.table, g.config->max_connections, err);
    if (r == 0)
        r = load_key(&g, err);
    if (r == 0)
        r = confine(ROLE_GATE, err);
    if (r == 0)
        r = channel_send(&g.control, MESSAGE_READY, 0, NULL, 0, err);
    if (r == 0)
        r = serve(&g, err);
    free_gate(&g);
    return r;
}
