#include "daemon/supervisor.h"
#include "crypto/tls.h"
#include "daemon/confine.h"
#include "daemon/generation.h"
#include "daemon/log.h"
#include "daemon/metrics.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>

#define MILLISECONDS(n) ((uint64_t)(n)*1000000u)
#define BACKOFF_FIRST MILLISECONDS(100)
#define BACKOFF_LAST SECONDS(10)
#define STEADY SECONDS(60) /* a generation that served so long did not fail at its start */
#define DRAIN_EXTRA 15     /* seconds beyond the deadline of the last request */
#define CLOSE_SECONDS 10   /* a reload waits so long for the old one to take no more guests */
#define DRAINING_MAX 4     /* generations; of more, the oldest is ended */

struct supervisor {
    const struct role_table *roles;
    const char *config_path;
    int signals, metrics_fd;
    uint64_t number;              /* of the newest generation */
    struct setup good, candidate; /* of what serves or served last; of a reload under way */
    struct generation *all;
    uint64_t restart_at, backoff; /* 0: no restart is due */
    uint64_t announce_by;         /* 0: what serves is announced */
    bool reload, stopping;
    struct error failure; /* of the first start */
};

/* ---- generations ---- */
static struct generation *find_state(const struct supervisor *s, enum generation_state state)
{
    struct generation *g = s->all;
    while (g && g->state != state)
        g = g->next;
    return g;
}

static int start(struct supervisor *s, const struct setup *setup, struct error *err)
{
    const struct generation_plan plan = {.roles = s->roles,
                                         .config_name = s->config_path,
                                         .metrics_fd = s->metrics_fd,
                                         .number = ++s->number,
                                         .setup = setup};
    struct generation *g;
    int r = generation_start(&g, &plan, err);
    if (r < 0)
        return r;
    g->next = s->all;
    s->all = g;
    return 0;
}

static void drain(struct generation *g)
{
    generation_drain(g, g->request_seconds + DRAIN_EXTRA);
}

static void tell_state(const struct supervisor *s, const char *trouble)
{
    const struct generation *g = find_state(s, GENERATION_SERVING);
    if (trouble)
        sd_notifyf(0, "READY=1\nSTATUS=%s", trouble);
    else if (g)
        sd_notifyf(0, "READY=1\nSTATUS=Serving, generation %" PRIu64, g->plan.number);
}

static void adopt_candidate(struct supervisor *s)
{
    listeners_log(&s->candidate.listeners, s->good.config_fd >= 0 ? &s->good.listeners : NULL);
    setup_free(&s->good, &s->candidate);
    s->good = s->candidate;
    s->candidate = SETUP_NONE;
    log_open("supervisor", s->good.config.log_json, s->good.config.log_level);
}

/* It serves: what served before ends. */
static void promote(struct supervisor *s, struct generation *g)
{
    for (struct generation *old = s->all; old; old = old->next)
        if (old != g && old->state == GENERATION_SERVING)
            drain(old);
    if (g->plan.setup == &s->candidate)
        adopt_candidate(s);
    g->plan.setup = NULL;
    s->restart_at = 0;
    s->announce_by = clock_now() + SECONDS(CLOSE_SECONDS);
}

/* Whoever knows that a reload is over must not meet what was before it. */
static void announce(struct supervisor *s)
{
    const struct generation *serving = find_state(s, GENERATION_SERVING);
    bool late = s->announce_by <= clock_now();
    for (const struct generation *g = s->all; g && !late; g = g->next)
        if (g->state == GENERATION_DRAINING && generation_is_open(g))
            return;
    s->announce_by = 0;
    if (!serving)
        return;
    metrics_set(METRIC_GENERATION, serving->plan.number);
    log_line(LOG_INFO, "generation %" PRIu64 " serves", serving->plan.number);
    tell_state(s, NULL);
}

/* ---- what goes wrong ---- */
static void schedule_restart(struct supervisor *s)
{
    s->backoff = s->backoff ? 2 * s->backoff : BACKOFF_FIRST;
    if (s->backoff > BACKOFF_LAST)
        s->backoff = BACKOFF_LAST;
    s->restart_at = clock_now() + s->backoff;
    uint64_t ms = s->backoff / MILLISECONDS(1);
    log_line(LOG_INFO, "starting a new generation in %" PRIu64 " ms", ms);
    sd_notifyf(0, "STATUS=A process failed; starting a new generation in %" PRIu64 " ms", ms);
}

/* One that was starting: the old one goes on if there is one, else another try is due. */
static void start_failed(struct supervisor *s, bool reload, const struct error *why)
{
    bool serving = find_state(s, GENERATION_SERVING);
    if (reload)
        setup_free(&s->candidate, &s->good);
    if (s->good.config_fd < 0) {
        s->failure = *why;
        s->stopping = true;
        return;
    }
    if (!serving) {
        log_error(LOG_ERR, why, "a new generation could not start");
        schedule_restart(s);
        return;
    }
    log_error(LOG_ERR, why, "reload failed, and the configuration stays as it was");
    tell_state(s, "Serving; the last reload failed, see the log");
}

static void handle_failure(struct supervisor *s, struct generation *g)
{
    if (g->state == GENERATION_STARTING) {
        bool reload = g->plan.setup == &s->candidate;
        generation_kill(g);
        drain(g);
        g->plan.setup = NULL;
        start_failed(s, reload, &g->failure);
        return;
    }
    log_error(LOG_ERR, &g->failure, "generation %" PRIu64 " failed", g->plan.number);
    metrics_add(METRIC_RESTARTS, 1);
    if (clock_now() - g->since > STEADY)
        s->backoff = 0;
    drain(g);
    if (!find_state(s, GENERATION_STARTING))
        schedule_restart(s);
}

static void restart(struct supervisor *s)
{
    struct error err = {0};
    s->restart_at = 0;
    if (start(s, &s->good, &err) < 0)
        start_failed(s, false, &err);
}

/* The gate has a descriptor for each connection; the limit is inherited. */
static void check_limits(const struct daemon_config *c)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
    if (l.rlim_max < c->max_connections + 256)
        log_line(LOG_WARNING,
                 "max-connections is %u, but RLIMIT_NOFILE only %llu (LimitNOFILE allows more)",
                 c->max_connections, (unsigned long long)l.rlim_max);
    if (!confine_locks_memory())
        log_line(LOG_WARNING, "secrets in transit may be swapped out: RLIMIT_MEMLOCK is low "
                              "(LimitMEMLOCK=infinity)");
}

static int reload(struct supervisor *s, struct error *err)
{
    const struct setup *old = s->good.config_fd >= 0 ? &s->good : NULL;
    s->reload = false;
    int r = setup_load(&s->candidate, s->config_path, old, err);
    if (r < 0)
        return r;
    if (!old) {
        log_open("supervisor", s->candidate.config.log_json, s->candidate.config.log_level);
        check_limits(&s->candidate.config);
    }
    s->restart_at = 0;
    return start(s, &s->candidate, err);
}

static void reload_now(struct supervisor *s)
{
    struct error err = {0};
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=Reloading", clock_now() / 1000);
    if (reload(s, &err) < 0)
        start_failed(s, s->candidate.config_fd >= 0, &err);
}

/* ---- signals ---- */
static void stop(struct supervisor *s)
{
    bool again = s->stopping;
    s->stopping = true;
    s->restart_at = s->announce_by = 0;
    sd_notify(0, "STOPPING=1\nSTATUS=Finishing the connections that there are");
    log_line(LOG_INFO, again ? "ending at once" : "finishing the connections that there are");
    for (struct generation *g = s->all; g; g = g->next) {
        if (again || g->state == GENERATION_STARTING)
            generation_kill(g);
        if (g->state != GENERATION_DRAINING)
            drain(g);
    }
    listeners_close(&s->good.listeners, NULL);
}

static void reap(struct supervisor *s)
{
    int status;
    for (struct generation *g = s->all; g; g = g->next)
        generation_advance(g); /* it served before its first process ended: what was said tells */
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (struct generation *g = s->all; g; g = g->next)
            if (generation_reap(g, pid, status))
                break;
}

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            reap(s);
        else if (info.ssi_signo == SIGHUP)
            s->reload = true;
        else
            stop(s);
    }
}

static int open_signals(int *ret, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return error_errno(err, errno, "signals");
    *ret = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret < 0 ? error_errno(err, errno, "signals") : 0;
}

/* ---- one turn ---- */
static void look_at(struct supervisor *s, struct generation *g)
{
    static const struct error slow = {.code = ETIMEDOUT,
                                      .text = "its processes were not ready in time"};
    bool late = g->deadline <= clock_now();
    generation_advance(g);
    if (g->state == GENERATION_DRAINING && late) {
        log_line(LOG_WARNING, "generation %" PRIu64 " did not end in time", g->plan.number);
        g->deadline = clock_now() + SECONDS(1);
        generation_kill(g);
    }
    if (g->state == GENERATION_STARTING && late && !g->failure.code)
        g->failure = slow;
    if (g->state == GENERATION_SERVING && g->plan.setup)
        promote(s, g);
    if (g->state != GENERATION_DRAINING && generation_failed(g))
        handle_failure(s, g);
}

/* What has ended goes; of too many that drain, the oldest (the last) goes, too. */
static void clean_up(struct supervisor *s)
{
    size_t draining = 0;
    for (struct generation **at = &s->all; *at;) {
        struct generation *g = *at;
        if (generation_ended(g) && g->state == GENERATION_DRAINING) {
            *at = g->next;
            generation_free(g);
            continue;
        }
        if (g->state == GENERATION_DRAINING && ++draining > DRAINING_MAX)
            generation_kill(g);
        at = &g->next;
    }
}

static uint64_t next_deadline(const struct supervisor *s)
{
    uint64_t first = s->restart_at ? s->restart_at : UINT64_MAX;
    if (s->announce_by && s->announce_by < first)
        first = s->announce_by;
    for (const struct generation *g = s->all; g; g = g->next) {
        if (g->state != GENERATION_SERVING && g->deadline < first)
            first = g->deadline;
        if (g->state != GENERATION_DRAINING && g->failure.code && g->settled < first)
            first = g->settled;
    }
    return first;
}

static int wait_for_news(const struct supervisor *s, struct error *err)
{
    size_t count = 1, max = 1;
    for (const struct generation *g = s->all; g; g = g->next)
        max += g->count;
    _free_ struct pollfd *fds = calloc(max, sizeof(*fds));
    if (!fds)
        return error_set(err, ENOMEM, "out of memory");
    fds[0] = (struct pollfd){.fd = s->signals, .events = POLLIN};
    for (const struct generation *g = s->all; g; g = g->next)
        for (size_t i = 0; i < g->count; i++)
            if (g->members[i].control.fd >= 0 && !g->members[i].control.ended)
                fds[count++] = (struct pollfd){.fd = g->members[i].control.fd, .events = POLLIN};
    uint64_t now = clock_now(), then = next_deadline(s);
    uint64_t ms = then <= now ? 0 : (then - now) / MILLISECONDS(1) + 1;
    if (poll(fds, count,
             then == UINT64_MAX ? -1
             : ms > 60000       ? 60000
                                : (int)ms) < 0 &&
        errno != EINTR)
        return error_errno(err, errno, "poll");
    return 0;
}

static int serve(struct supervisor *s, struct error *err)
{
    int r = 0;
    while (r == 0 && !(s->stopping && !s->all)) {
        r = wait_for_news(s, err);
        take_signals(s);
        for (struct generation *g = s->all; g; g = g->next)
            look_at(s, g);
        clean_up(s);
        if (s->announce_by)
            announce(s);
        bool busy = s->stopping || s->announce_by || find_state(s, GENERATION_STARTING);
        if (!busy && s->reload)
            reload_now(s);
        else if (!busy && s->restart_at && s->restart_at <= clock_now())
            restart(s);
    }
    if (r == 0 && s->failure.code) {
        *err = s->failure;
        return -s->failure.code;
    }
    return r;
}

static int begin(struct supervisor *s, struct error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_errno(err, errno, "prctl");
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
        return error_errno(err, errno, "RLIMIT_CORE");
    int r = open_signals(&s->signals, err);
    if (r == 0)
        r = metrics_create(&s->metrics_fd, err);
    return r < 0 ? r : reload(s, err);
}

int supervisor_run(const struct role_table *roles, const char *config_path, struct error *err)
{
    struct supervisor s = {.roles = roles,
                           .config_path = config_path,
                           .signals = -1,
                           .metrics_fd = -1,
                           .good = SETUP_NONE,
                           .candidate = SETUP_NONE};
    int r = begin(&s, err);
    if (r == 0)
        r = serve(&s, err);
    while (s.all) {
        struct generation *g = s.all;
        s.all = g->next;
        generation_kill(g);
        generation_free(g);
    }
    setup_free(&s.candidate, NULL);
    setup_free(&s.good, NULL);
    cleanup_close(&s.metrics_fd);
    cleanup_close(&s.signals);
    return r;
}
