#include "daemon/process.h"
#include "base/io.h"
#include "daemon/confine.h"
#include "daemon/log.h"
#include "daemon/messages.h"
#include "daemon/metrics.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#define CONFIG_TEXT_MAX ((size_t)256 << 10)

/*
 * encrootd --process ROLE INDEX CONFIG COUNTS: the descriptors are those below, then each wire's
 * in order; COUNTS says how many each has.
 */
#define ARGUMENT "--process"
enum { ARG_MARK = 1, ARG_ROLE, ARG_INDEX, ARG_CONFIG, ARG_COUNTS, ARG_COUNT };
enum { FD_CONFIG = 3, FD_METRICS, FD_WIRES };
#define FDS_MAX (FD_WIRES + WIRE_COUNT * CONFIG_WORKERS_MAX)

/* ---- the supervisor's side ---- */
static size_t list_fds(const struct process *p, const struct process_start *s, int *ret)
{
    size_t n = 0;
    ret[n++] = s->config_fd;
    ret[n++] = s->metrics_fd;
    for (size_t w = 0; w < WIRE_COUNT; w++)
        for (size_t i = 0; i < p->count[w]; i++)
            ret[n++] = p->fds[w][i];
    return n;
}

/* Move them out of the way first: a target may be another's source. */
static bool place_fds(int *fds, size_t count)
{
    int above = FD_CONFIG + (int)count;
    for (size_t i = 0; i < count; i++) {
        fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, above);
        if (fds[i] < 0)
            return false;
    }
    for (size_t i = 0; i < count; i++)
        if (dup2(fds[i], FD_CONFIG + (int)i) < 0)
            return false;
    return close_range((unsigned)above, UINT_MAX, 0) == 0;
}

static void reset_signals(void)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE};
    sigset_t none;
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child; does not return. Its parent's copy of the environment stays as it is. */
static void execute(enum role role, int *fds, size_t count, pid_t parent, char **argv)
{
    reset_signals();
    unsetenv("NOTIFY_SOCKET");
    if (!role_stores(role))
        unsetenv("PGPASSWORD"); /* which libpq reads */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && place_fds(fds, count))
        execv("/proc/self/exe", argv);
    _exit(127);
}

int process_spawn(const struct process *p, const struct process_start *s, pid_t *ret,
                  struct error *err)
{
    char index[16], counts[WIRE_COUNT * 4 + 1];
    char *argv[ARG_COUNT + 1] = {
        [0] = (char *)"encrootd",
        [ARG_MARK] = (char *)ARGUMENT,
        [ARG_ROLE] = (char *)role_name(p->role),
        [ARG_INDEX] = index,
        [ARG_CONFIG] = (char *)s->config_name,
        [ARG_COUNTS] = counts,
    };
    int fds[FDS_MAX];
    size_t count = list_fds(p, s, fds), at = 0;
    snprintf(index, sizeof(index), "%u", p->index);
    for (size_t w = 0; w < WIRE_COUNT; w++)
        at += (size_t)snprintf(counts + at, sizeof(counts) - at, "%zu,", p->count[w]);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "fork");
    if (pid == 0)
        execute(p->role, fds, count, parent, argv);
    *ret = pid;
    return 0;
}

/* ---- the process's own side ---- */
bool process_is_one(int argc, char **argv)
{
    return argc == ARG_COUNT && strcmp(argv[ARG_MARK], ARGUMENT) == 0;
}

static int read_arguments(struct process *p, char **argv, struct error *err)
{
    const char *counts = argv[ARG_COUNTS];
    int fd = FD_WIRES;
    p->role = 0;
    while (p->role < ROLE_COUNT && strcmp(role_name(p->role), argv[ARG_ROLE]) != 0)
        p->role++;
    p->index = (unsigned)strtoul(argv[ARG_INDEX], NULL, 10);
    for (size_t w = 0; w < WIRE_COUNT; w++) {
        char *end;
        p->count[w] = strtoul(counts, &end, 10);
        if (*end != ',' || p->count[w] > CONFIG_WORKERS_MAX)
            return error_set(err, EINVAL, "this option is for encrootd itself");
        counts = end + 1;
        for (size_t i = 0; i < p->count[w]; i++, fd++) {
            p->fds[w][i] = fd;
            if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return error_errno(err, errno, "descriptor %d", fd);
        }
    }
    return p->role < ROLE_COUNT && p->count[WIRE_CONTROL] == 1
               ? 0
               : error_set(err, EINVAL, "this option is for encrootd itself");
}

int process_config(struct daemon_config *ret, int fd, const char *name, struct buffer *ret_text,
                   struct error *err)
{
    char copy[PATH_MAX], folder[PATH_MAX];
    snprintf(copy, sizeof(copy), "%s", name);
    if (!realpath(dirname(copy), folder))
        return error_errno(err, errno, "folder of %s", name);
    int r = read_fd(fd, name, CONFIG_TEXT_MAX, ret_text, err);
    return r < 0 ? r : config_parse(ret, buffer_bytes(ret_text), name, folder, err);
}

/* Shared with the supervisor and its other processes: each reads from the beginning. */
static int read_config(struct daemon_config *ret, const char *name, struct error *err)
{
    _buffer_ struct buffer text = {0};
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", FD_CONFIG);
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    close(FD_CONFIG);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    return process_config(ret, fd, name, &text, err);
}

static int live(const struct role_table *roles, struct process *p, const char *config_name,
                struct error *err)
{
    struct daemon_config config;
    char name[32];
    int r = confine_early(p->role, err);
    if (r == 0)
        r = read_config(&config, config_name, err);
    if (r < 0)
        return r;
    if (role_is_paired(p->role))
        snprintf(name, sizeof(name), "%s %u", role_name(p->role), p->index);
    log_open(role_is_paired(p->role) ? name : role_name(p->role), config.log_json,
             config.log_level);
    r = metrics_attach(FD_METRICS, p->role != ROLE_MONITOR, err);
    close(FD_METRICS);
    p->config = &config;
    if (r == 0)
        r = roles->run[p->role](p, err);
    config_free(&config);
    return r;
}

static void report(int fd, const struct error *failure)
{
    struct channel c;
    struct error err = {0};
    const int32_t code = failure->code;
    const struct bytes parts[] = {BYTES(&code, sizeof(code)),
                                  BYTES(failure->text, strlen(failure->text) + 1),
                                  BYTES(failure->hint, strlen(failure->hint) + 1)};
    channel_init(&c, fd);
    if (channel_send(&c, MESSAGE_FAILED, 0, parts, ARRAY_SIZE(parts), &err) < 0)
        log_error(LOG_ERR, failure, "ends");
    channel_free(&c);
}

int process_main(const struct role_table *roles, int argc, char **argv)
{
    struct process p = {0};
    struct error err = {0};
    if (read_arguments(&p, argv, &err) < 0) {
        log_error(LOG_ERR, &err, ARGUMENT);
        return 2;
    }
    /* Else it is "exe", as it was executed, in ps and in the kernel's log. */
    prctl(PR_SET_NAME, role_name(p.role));
    /* A role closes its own end when it is done. */
    int control = fcntl(p.fds[WIRE_CONTROL][0], F_DUPFD_CLOEXEC, FD_WIRES);
    int r = live(roles, &p, argv[ARG_CONFIG], &err);
    if (r < 0)
        report(control, &err);
    return r < 0 ? 1 : 0;
}
