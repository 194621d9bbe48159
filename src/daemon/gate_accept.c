#include "daemon/gate.h"
#include "daemon/handoff.h"
#include "daemon/log.h"
#include "daemon/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 32 /* connections, before signatures are looked at again */
#define NO_DESCRIPTOR_PAUSE (SECONDS(1) / 10)

/* Not from the name that a guest gives itself: from the kernel. */
static void peer_text(const struct sockaddr_storage *a, char ret[MESSAGE_PEER_SIZE])
{
    char text[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
    unsigned port = ntohs(a->ss_family == AF_INET6 ? v6->sin6_port : v4->sin_port);
    if (a->ss_family == AF_INET)
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
    else if (a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof(text));
    else if (a->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
    else
        port = 0;
    snprintf(ret, MESSAGE_PEER_SIZE, "%s port %u", text, port);
}

static bool takes_more(const struct gate_front *f)
{
    struct pollfd p = {.fd = f->handoff, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

/* The least loaded of those that can take one; front_count: none. */
static size_t choose_front(const struct gate *g)
{
    size_t best = g->front_count;
    for (size_t i = 0; i < g->front_count; i++)
        if ((best == g->front_count || g->fronts[i].load < g->fronts[best].load) &&
            takes_more(&g->fronts[i]))
            best = i;
    return best;
}

static void shed(struct gate *g, const char *why)
{
    metrics_add(METRIC_CONNECTIONS, 1);
    metrics_add(METRIC_CONNECTIONS_ENDED, 1);
    metrics_add(METRIC_CONNECTIONS_SHED, 1);
    uint64_t now = clock_now();
    if (g->complained && now < g->complained + SECONDS(10))
        return;
    g->complained = now;
    log_line(LOG_WARNING, "closing new connections: %s", why);
}

/* The keeper hears of a connection before any evidence of it can come. */
static int hand_out(struct gate *g, size_t front, int fd, struct message_connection *m,
                    struct error *err)
{
    uint64_t number = gate_table_add(&g->table, (uint32_t)front);
    if (number == 0) {
        shed(g, "max-connections is reached");
        return 0;
    }
    m->worker = (uint32_t)front;
    struct bytes body = BYTES(m, sizeof(*m));
    int r = channel_send(&g->peers, MESSAGE_CONNECTION, number, &body, 1, err);
    if (r < 0)
        return error_prefix(err, r, "keeper");
    struct error why = {0};
    r = handoff_send(g->fronts[front].handoff, number, m, fd, &why);
    if (r < 0) {
        gate_table_remove(&g->table, gate_table_find(&g->table, number, (uint32_t)front));
        shed(g, why.text);
        return 0;
    }
    g->fronts[front].load++;
    metrics_add(METRIC_CONNECTIONS, 1);
    return 0;
}

/* accept(2): what it says of one newcomer, who is gone, is nothing to us. */
static int after_failed_accept(struct gate *g, int code, struct error *err)
{
    static const int harmless[] = {EAGAIN,      EINTR,     ECONNABORTED, ENETDOWN,     EPROTO,
                                   ENOPROTOOPT, EHOSTDOWN, ENONET,       EHOSTUNREACH, EOPNOTSUPP,
                                   ENETUNREACH, EPERM,     ETIMEDOUT};
    for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
        if (code == harmless[i])
            return 0;
    if (code != EMFILE && code != ENFILE && code != ENOBUFS && code != ENOMEM)
        return error_errno(err, code, "accepting connections");
    g->accept_after = clock_now() + NO_DESCRIPTOR_PAUSE;
    log_line(LOG_WARNING, "accepting connections: %s; trying again", strerror(code));
    return 0;
}

int gate_accept(struct gate *g, int listener, struct error *err)
{
    for (int i = 0; i < BATCH; i++) {
        size_t front = choose_front(g);
        g->crowded = front == g->front_count;
        if (g->crowded)
            return 0;
        struct sockaddr_storage a = {0};
        socklen_t size = sizeof(a);
        _close_ int fd =
            accept4(listener, (struct sockaddr *)&a, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return after_failed_accept(g, errno, err);
        struct message_connection m = {0};
        peer_text(&a, m.peer);
        int r = hand_out(g, front, fd, &m, err);
        if (r < 0)
            return r;
    }
    return 0;
}
