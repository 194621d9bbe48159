/*
 * encrootd's supervisor and monitor, with toys in all other roles: the gate answers each connection
 * with the number of the generation's keeper process, through the keeper, and what the
 * configuration's name says goes wrong. For test_supervisor.py.
 *
 *   name = fail-ROLE   that role cannot start       name = hang-ROLE    ... is never ready
 *   name = stay-ROLE   ... does not end by itself   name = crash-ROLE   ... ends as it starts
 *   name = late-gate   it serves, and ends at its first guest; the supervisor hears of both at once
 */
#include "daemon/command.h"
#include "daemon/confine.h"
#include "daemon/messages.h"
#include "daemon/metrics.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static bool asked(const struct process *p, const char *what)
{
    char name[64];
    snprintf(name, sizeof(name), "%s-%s", what, role_name(p->role));
    return strcmp(p->config->name, name) == 0;
}

/* Everything that the role has must work: a wrong descriptor shows at once. */
static int check_wires(const struct process *p, struct error *err)
{
    for (size_t w = 0; w < WIRE_COUNT; w++) {
        for (size_t i = 0; i < p->count[w]; i++) {
            int type = 0;
            socklen_t size = sizeof(type);
            if (getsockopt(p->fds[w][i], SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
                (w == WIRE_HANDOFF) != (type == SOCK_SEQPACKET))
                return error_set(err, EBADF, "wire %zu, %zu", w, i);
        }
    }
    return 0;
}

static int begin(struct process *p, struct channel *control, struct error *err)
{
    channel_init(control, p->fds[WIRE_CONTROL][0]);
    if (asked(p, "fail"))
        return error_hint(err, error_set(err, EPERM, "cannot start as %s", p->config->name),
                          "change the name");
    int r = check_wires(p, err);
    if (r == 0)
        r = confine(p->role, err);
    if (asked(p, "crash"))
        abort();
    if (r == 0 && !asked(p, "hang"))
        r = channel_send(control, MESSAGE_READY, 0, NULL, 0, err);
    return r;
}

/* 1: MESSAGE_DRAIN; 0: nothing yet; the end of the supervisor ends the process. */
static int hear(struct channel *control, struct error *err)
{
    struct frame f;
    int r = channel_fill(control, err);
    if (r == 0 && control->ended)
        _exit(0);
    if (r == 0)
        r = channel_next(control, &f, err);
    return r <= 0 ? r : f.type == MESSAGE_DRAIN;
}

/* ---- fronts, appraisers, admin: they wait for their end ---- */
static int idle_until(struct process *p, enum wire wire, struct error *err)
{
    _cleanup_(channel_free) struct channel control = {.fd = -1};
    int r = begin(p, &control, err);
    struct pollfd fds[] = {{.fd = p->fds[WIRE_CONTROL][0], .events = POLLIN},
                           {.fd = wire == WIRE_CONTROL ? -1 : p->fds[wire][0], .events = POLLIN}};
    while (r == 0 && poll(fds, 2, -1) > 0) {
        if (fds[1].revents && !asked(p, "stay"))
            return 0;
        r = hear(&control, err);
        if (r > 0 && !asked(p, "stay"))
            return 0;
        r = r > 0 ? 0 : r;
    }
    return r;
}

static int front(struct process *p, struct error *err)
{
    return idle_until(p, WIRE_HANDOFF, err);
}

static int appraiser(struct process *p, struct error *err)
{
    return idle_until(p, WIRE_EVIDENCE, err);
}

static int admin(struct process *p, struct error *err)
{
    return idle_until(p, WIRE_CONTROL, err);
}

/* ---- keeper: says its number ---- */
static int keeper(struct process *p, struct error *err)
{
    _cleanup_(channel_free) struct channel control = {.fd = -1}, peers = {.fd = -1};
    struct frame f;
    int r = begin(p, &control, err);
    channel_init(&peers, p->fds[WIRE_PEERS][0]);
    metrics_set(METRIC_STORE_UP, strcmp(p->config->name, "store-down") != 0);
    while (r == 0) {
        char text[32];
        r = channel_wait(&peers, &f, 0, err);
        if (r == -ECONNRESET)
            return 0;
        snprintf(text, sizeof(text), "%d\n", (int)getpid());
        if (r == 0)
            r = channel_send(&peers, f.type, 0, &BYTES_STR(text), 1, err);
    }
    return r;
}

/* ---- gate: on each line of a connection, asks the keeper; one connection at a time ---- */
static int serve_one(int fd, struct channel *peers, struct error *err)
{
    char line[64];
    int r = 0;
    while (r == 0 && recv(fd, line, sizeof(line), 0) > 0) {
        struct frame f;
        r = channel_send(peers, MESSAGE_CONNECTION, 0, NULL, 0, err);
        if (r == 0)
            r = channel_wait(peers, &f, 0, err);
        if (r == 0 && send(fd, f.body.data, f.body.size, MSG_NOSIGNAL) < 0)
            break;
    }
    close(fd);
    return r;
}

/* The first time only: another process wakes it up, for this one's filter will not let it. */
static bool stop_supervisor_for_a_while(struct process *p)
{
    const pid_t supervisor = getppid();
    if (!asked(p, "late") || metrics_get(METRIC_RESTARTS) > 0)
        return false;
    kill(supervisor, SIGSTOP);
    if (fork() == 0) {
        usleep(1000000);
        kill(supervisor, SIGCONT);
        _exit(0);
    }
    return true;
}

static int gate(struct process *p, struct error *err)
{
    _cleanup_(channel_free) struct channel control = {.fd = -1}, peers = {.fd = -1};
    bool late = stop_supervisor_for_a_while(p);
    int r = begin(p, &control, err);
    if (late)
        abort();
    struct pollfd fds[1 + CONFIG_LISTEN_MAX] = {{.fd = p->fds[WIRE_CONTROL][0], .events = POLLIN}};
    size_t count = p->count[WIRE_RELEASE];
    for (size_t i = 0; i < count; i++)
        fds[1 + i] = (struct pollfd){.fd = p->fds[WIRE_RELEASE][i], .events = POLLIN};
    channel_init(&peers, p->fds[WIRE_PEERS][0]);
    while (r == 0 && poll(fds, 1 + count, -1) > 0) {
        for (size_t i = 0; r == 0 && i < count; i++) {
            int fd = fds[1 + i].revents ? accept4(fds[1 + i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;
            if (fd >= 0)
                r = serve_one(fd, &peers, err);
        }
        if (r == 0)
            r = hear(&control, err);
        if (r > 0)
            return 0;
    }
    return r;
}

static const struct role_table roles = {
    {
        [ROLE_GATE] = gate,
        [ROLE_FRONT] = front,
        [ROLE_APPRAISER] = appraiser,
        [ROLE_KEEPER] = keeper,
        [ROLE_ADMIN] = admin,
        [ROLE_MONITOR] = monitor_run,
    },
};

int main(int argc, char **argv)
{
    return encrootd_main(&roles, argc, argv);
}
