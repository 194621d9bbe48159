#include "base/spawn_bounded.h"

#include "base/io.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#define GRACE_MS 2000 /* between SIGTERM and SIGKILL */

/* One program under way. */
struct bounded {
    pid_t pid;
    int pidfd, output, signals;
    int64_t deadline; /* milliseconds, CLOCK_MONOTONIC */
    int stopped;      /* 0, or why it is being ended: ETIMEDOUT, ECANCELED */
    char *said;
    size_t said_size;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The signals that ask us to stop, less those that our parent wanted ignored (nohup). */
static void stop_signals(sigset_t *ret)
{
    static const int asked[] = {SIGINT, SIGTERM, SIGHUP};
    sigemptyset(ret);
    for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
        struct sigaction now;
        if (sigaction(asked[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(ret, asked[i]);
    }
}

static _Noreturn void child(char *const argv[], pid_t parent, int output, int failure_fd,
                            const sigset_t *mask)
{
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int failure = 0;
    setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || nothing < 0 || dup2(nothing, 0) < 0 ||
        dup2(output, 1) < 0 || dup2(output, 2) < 0)
        failure = errno;
    else if (getppid() != parent) /* it ended before the line above took effect */
        failure = ESRCH;
    if (failure == 0) {
        close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
        signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_SETMASK, mask, NULL);
        execvp(argv[0], argv);
        failure = errno;
    }
    (void)!write(failure_fd, &failure, sizeof(failure));
    _exit(127);
}

/* Returns 0, or the negative errno of what kept the program from being executed. */
static int start(struct bounded *b, char *const argv[], const sigset_t *mask)
{
    int output[2], failure[2], code = 0;
    pid_t parent = getpid();
    if (pipe2(output, O_CLOEXEC) < 0)
        return -errno;
    b->output = output[0];
    _close_ int output_end = output[1];
    if (pipe2(failure, O_CLOEXEC) < 0)
        return -errno;
    _close_ int failure_read = failure[0];
    _close_ int failure_end = failure[1];
    if (fcntl(b->output, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    b->pid = fork();
    if (b->pid == 0)
        child(argv, parent, output_end, failure_end, mask);
    if (b->pid < 0)
        return -errno;
    setpgid(b->pid, b->pid);
    close(TAKE_FD(failure_end));
    /* The pipe closes by itself when the program is executed. */
    if (read_exact(failure_read, &code, sizeof(code)) == 0)
        return -code;
    b->pidfd = pidfd_open(b->pid, 0);
    return b->pidfd < 0 ? -errno : 0;
}

/* Keep the end of what the program says. */
static void keep(struct bounded *b, const char *p, size_t n)
{
    const size_t max = SPAWN_SAID_MAX - 1;
    size_t take = n < max ? n : max;
    size_t drop = b->said_size + take > max ? b->said_size + take - max : 0;
    memmove(b->said, b->said + drop, b->said_size - drop);
    memcpy(b->said + b->said_size - drop, p + n - take, take);
    b->said_size += take - drop;
    b->said[b->said_size] = '\0';
}

/* Read what is there; false at the end of it. */
static bool listen_to(struct bounded *b)
{
    char chunk[4096];
    ssize_t n;
    while ((n = read(b->output, chunk, sizeof(chunk))) > 0)
        keep(b, chunk, (size_t)n);
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void stop(struct bounded *b, int why)
{
    kill(-b->pid, b->stopped ? SIGKILL : SIGTERM);
    b->stopped = b->stopped ? b->stopped : why;
    b->deadline = now_ms() + GRACE_MS;
}

static void watch(struct bounded *b)
{
    enum { ENDED, SAID, SIGNAL };
    struct pollfd fds[] = {{.fd = b->pidfd, .events = POLLIN},
                           {.fd = b->output, .events = POLLIN},
                           {.fd = b->signals, .events = POLLIN}};
    while (!fds[ENDED].revents) {
        int64_t left = b->deadline - now_ms();
        if (left <= 0)
            stop(b, ETIMEDOUT);
        if (poll(fds, ARRAY_SIZE(fds), left > 0 && left < GRACE_MS ? (int)left : GRACE_MS) < 0)
            continue;
        if (fds[SAID].revents && !listen_to(b))
            fds[SAID].fd = -1;
        struct signalfd_siginfo info;
        if (fds[SIGNAL].revents && read(b->signals, &info, sizeof(info)) > 0)
            stop(b, ECANCELED);
    }
    listen_to(b);
}

/* What it started goes with it; while it is not waited for, its group cannot be another's. */
static int reap(const struct bounded *b)
{
    int status;
    kill(-b->pid, SIGKILL);
    while (waitpid(b->pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return status;
}

static int judge(const struct bounded *b, const char *name, unsigned seconds, int status,
                 struct error *err)
{
    if (b->stopped == ECANCELED)
        return error_set(err, ECANCELED, "interrupted: %s was stopped", name);
    if (b->stopped)
        return error_set(err, b->stopped, "%s: still running after %u seconds, was stopped", name,
                         seconds);
    if (status < 0)
        return error_errno(err, -status, "%s: wait", name);
    if (WIFSIGNALED(status))
        return error_set(err, EIO, "%s: killed by signal %d", name, WTERMSIG(status));
    return WEXITSTATUS(status);
}

static int run(struct bounded *b, char *const argv[], unsigned seconds, const sigset_t *mask,
               struct error *err)
{
    int status = 0;
    int r = start(b, argv, mask);
    if (r == 0)
        watch(b);
    if (b->pid > 0)
        status = reap(b);
    return r < 0 ? error_errno(err, -r, "%s: cannot run it", argv[0])
                 : judge(b, argv[0], seconds, status, err);
}

int spawn_bounded(char *const argv[], unsigned seconds, char said[SPAWN_SAID_MAX],
                  struct error *err)
{
    struct bounded b = {.pid = -1,
                        .pidfd = -1,
                        .output = -1,
                        .said = said,
                        .deadline = now_ms() + (int64_t)seconds * 1000};
    sigset_t asked, before;
    said[0] = '\0';
    stop_signals(&asked);
    if (sigprocmask(SIG_BLOCK, &asked, &before) < 0)
        return error_errno(err, errno, "%s: signals", argv[0]);
    b.signals = signalfd(-1, &asked, SFD_CLOEXEC | SFD_NONBLOCK);
    int r = b.signals < 0 ? error_errno(err, errno, "%s: signals", argv[0])
                          : run(&b, argv, seconds, &before, err);
    const int fds[] = {b.signals, b.pidfd, b.output};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}
