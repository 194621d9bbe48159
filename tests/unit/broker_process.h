/* One process of the broker, confined as it is in earnest, between wires whose other ends the test
 * holds. */
#ifndef ENCROOT_TESTS_BROKER_PROCESS_H
#define ENCROOT_TESTS_BROKER_PROCESS_H

#include "unit.h"
#include "crypto/tls.h"
#include "daemon/confine.h"
#include "daemon/log.h"
#include "daemon/messages.h"
#include "daemon/process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PATIENCE SECONDS(60)

struct played {
    struct process process; /* the child's */
    pid_t pid;
};

/* A wire of the process: returns the test's end. */
static inline int played_wire(struct played *p, enum wire w)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    p->process.fds[w][p->process.count[w]++] = fds[0];
    return fds[1];
}

static inline void played_close_wires(struct played *p)
{
    for (size_t w = 0; w < WIRE_COUNT; w++)
        for (size_t i = 0; i < p->process.count[w]; i++)
            close(p->process.fds[w][i]);
}

/* `ours`: the test's ends, which the child must not keep open. The child's messages go to `log`. */
static inline void played_start(struct played *p, int (*run)(struct process *p, struct error *err),
                                const int *ours, size_t count, const char *log)
{
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        struct error err = {0};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (size_t i = 0; i < count; i++)
            if (ours[i] >= 0)
                close(ours[i]);
        if (!freopen(log, "a", stderr))
            _exit(99);
        log_open(role_name(p->process.role), false, LOG_DEBUG);
        int r = confine_early(p->process.role, &err);
        if (r == 0)
            r = run(&p->process, &err);
        if (r < 0)
            log_error(LOG_ERR, &err, "ended");
        _exit(r < 0 ? 1 : 0);
    }
    played_close_wires(p);
}

/* How it ended: its exit status, or minus the signal. */
static inline int played_wait(struct played *p)
{
    int status = 0;
    uint64_t until = clock_now() + PATIENCE;
    pid_t done;
    while ((done = waitpid(p->pid, &status, WNOHANG)) == 0 && clock_now() < until)
        usleep(2000);
    if (done == 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, &status, 0);
        fail_msg("%s did not end", role_name(p->process.role));
    }
    p->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void played_kill(struct played *p)
{
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
    p->pid = 0;
}

/* The next frame must be this one; its body is borrowed. */
static inline struct bytes expect_frame(struct channel *c, enum message type, uint64_t connection)
{
    struct frame f;
    struct error err = {0};
    if (channel_wait(c, &f, clock_now() + PATIENCE, &err) < 0)
        fail_msg("message %d: %s", type, err.text);
    assert_int_equal(f.type, type);
    assert_int_equal(f.connection, connection);
    return f.body;
}

static inline void send_frame(struct channel *c, enum message type, uint64_t connection,
                              struct bytes first, struct bytes second)
{
    const struct bytes parts[] = {first, second};
    struct error err = {0};
    int r = channel_send(c, type, connection, parts, 2, &err);
    if (r == 0)
        r = channel_drain(c, clock_now() + PATIENCE, &err);
    if (r < 0)
        fail_msg("message %d: %s", type, err.text);
}

/* The wire ends, and nothing more comes before. */
static inline void expect_end(struct channel *c)
{
    struct frame f;
    int r = channel_wait(c, &f, clock_now() + PATIENCE, NULL);
    assert_int_equal(r, -ECONNRESET);
}

#endif
