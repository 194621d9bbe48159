#include "daemon/generation.h"
#include "crypto/tls.h"
#include "daemon/log.h"
#include "daemon/messages.h"
#include "daemon/wires.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define START_SECONDS 60
#define SETTLE (SECONDS(1) / 4)

/* ---- who there is ---- */
static void describe(const struct member *m, char text[32])
{
    if (role_is_paired(m->process.role))
        snprintf(text, 32, "%s %u", role_name(m->process.role), m->process.index);
    else
        snprintf(text, 32, "%s", role_name(m->process.role));
}

static int add_members(struct generation *g, const struct role_table *roles, unsigned workers)
{
    g->members = calloc(ROLE_COUNT + 2 * (size_t)workers, sizeof(*g->members));
    if (!g->members)
        return -ENOMEM;
    for (enum role role = 0; role < ROLE_COUNT; role++)
        for (unsigned i = 0; roles->run[role] && i < (role_is_paired(role) ? workers : 1); i++)
            g->members[g->count++] =
                (struct member){.process = {.role = role, .index = i}, .control = {.fd = -1}};
    return 0;
}

static int add_control(struct member *m, struct error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_errno(err, errno, "socketpair");
    channel_init(&m->control, ends[0]);
    m->control.frame_max = 2 * ERROR_TEXT_MAX;
    return wires_add(&m->process, WIRE_CONTROL, ends[1], err);
}

static int connect_members(struct generation *g, struct error *err)
{
    struct process *all[ROLE_COUNT + 2 * CONFIG_WORKERS_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < g->count; i++) {
        all[i] = &g->members[i].process;
        r = add_control(&g->members[i], err);
    }
    return r < 0 ? r : wires_make(all, g->count, err);
}

/* ---- start ---- */
static enum role owner_of(enum wire listening)
{
    return listening == WIRE_RELEASE   ? ROLE_GATE
           : listening == WIRE_MONITOR ? ROLE_MONITOR
                                       : ROLE_ADMIN;
}

static int spawn(struct member *m, const struct generation_plan *plan, struct error *err)
{
    const struct setup *setup = plan->setup;
    const struct listeners *l = &setup->listeners;
    struct process with = m->process; /* the listening sockets stay the supervisor's */
    const struct process_start start = {
        plan->config_name, role_stores(with.role) ? setup->config_fd : setup->public_fd,
        plan->metrics_fd};
    char name[32];
    for (size_t i = 0; i < l->count; i++)
        if (owner_of(l->all[i].wire) == with.role)
            with.fds[l->all[i].wire][with.count[l->all[i].wire]++] = l->all[i].fd;
    int r = process_spawn(&with, &start, &m->pid, err);
    wires_close(&m->process);
    describe(m, name);
    return r < 0 ? error_prefix(err, r, "starting the %s", name) : 0;
}

/*
 * The keeper makes the store that the admin opens; the gate opens the door, when all else is ready.
 */
enum { STAGE_KEEPER, STAGE_MOST, STAGE_GATE };

static unsigned stage_of(const struct member *m)
{
    return m->process.role == ROLE_KEEPER ? STAGE_KEEPER
           : m->process.role == ROLE_GATE ? STAGE_GATE
                                          : STAGE_MOST;
}

static int spawn_stage(struct generation *g, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < g->count; i++)
        if (stage_of(&g->members[i]) == g->stage)
            r = spawn(&g->members[i], &g->plan, err);
    return r;
}

static void enter(struct generation *g, enum generation_state state, unsigned seconds)
{
    g->state = state;
    g->since = clock_now();
    g->deadline = g->since + SECONDS(seconds);
}

int generation_start(struct generation **ret, const struct generation_plan *plan, struct error *err)
{
    struct generation *g = calloc(1, sizeof(*g));
    if (!g || add_members(g, plan->roles, plan->setup->config.workers) < 0) {
        free(g);
        return error_set(err, ENOMEM, "out of memory");
    }
    g->plan = *plan;
    g->request_seconds = plan->setup->config.request_seconds;
    enter(g, GENERATION_STARTING, START_SECONDS);
    int r = connect_members(g, err);
    if (r == 0)
        r = spawn_stage(g, err);
    if (r < 0) {
        generation_kill(g); /* nobody's when they are reaped */
        generation_free(g);
        return r;
    }
    *ret = g;
    return 0;
}

/* ---- what they say ---- */
/*
 * One process's end is soon followed by those of its peers, and nothing says in which order the
 * news of them comes: that a peer went (ECONNRESET, EPIPE, or a proper end) is no reason if there
 * is another within a moment.
 */
static bool is_echo(int code)
{
    return code == ECONNRESET || code == EPIPE;
}

static void fail(struct generation *g, const struct error *err)
{
    if (!g->failure.code)
        g->settled = clock_now() + SETTLE;
    if (!g->failure.code || (is_echo(g->failure.code) && !is_echo(err->code)))
        g->failure = *err;
}

bool generation_failed(const struct generation *g)
{
    return g->failure.code && (!is_echo(g->failure.code) || g->settled <= clock_now());
}

/* Of a process that reads what guests wrote, too: text, to be shown and nothing else. */
static void take_failure(struct generation *g, struct member *m, struct bytes body)
{
    const char *text = (const char *)body.data + sizeof(int32_t);
    char name[32];
    struct error err = {0};
    int32_t code;
    if (body.size <= sizeof(code) || body.data[body.size - 1] != '\0')
        return;
    memcpy(&code, body.data, sizeof(code));
    size_t size = sizeof(code) + strlen(text) + 1;
    m->told = true;
    describe(m, name);
    error_set(&err, code > 0 ? code : EIO, "%s: %s", name, text);
    if (size < body.size)
        error_hint(&err, 0, "%s", (const char *)body.data + size);
    fail(g, &err);
}

static void listen_to(struct generation *g, struct member *m)
{
    struct frame f;
    struct error err = {0};
    if (m->control.fd < 0 || m->control.ended)
        return;
    int r = channel_fill(&m->control, &err);
    while (r == 0 && (r = channel_next(&m->control, &f, &err)) > 0) {
        m->ready |= f.type == MESSAGE_READY;
        m->closed |= f.type == MESSAGE_CLOSED;
        if (f.type == MESSAGE_FAILED)
            take_failure(g, m, f.body);
        r = 0;
    }
    if (r < 0) /* reset, or nonsense: what follows is its end */
        m->control.ended = true;
    if (r < 0 && m->pid > 0)
        kill(m->pid, SIGKILL);
}

static bool stage_is_ready(const struct generation *g)
{
    for (size_t i = 0; i < g->count; i++)
        if (stage_of(&g->members[i]) == g->stage && !g->members[i].ready)
            return false;
    return true;
}

void generation_advance(struct generation *g)
{
    struct error err = {0};
    for (size_t i = 0; i < g->count; i++)
        listen_to(g, &g->members[i]);
    while (g->state == GENERATION_STARTING && stage_is_ready(g)) {
        if (g->stage == STAGE_GATE) /* it has served guests, whatever came of them */
            enter(g, GENERATION_SERVING, 0);
        else if (g->failure.code)
            break;
        else if (++g->stage, spawn_stage(g, &err) < 0)
            fail(g, &err);
    }
}

/* ---- the end ---- */
static void explain_end(const struct member *m, int status, struct error *err)
{
    char name[32];
    describe(m, name);
    if (WIFSIGNALED(status))
        error_set(err, EIO, "%s: ended by signal %d (%s)", name, WTERMSIG(status),
                  strsignal(WTERMSIG(status)));
    else
        error_set(err, WEXITSTATUS(status) && !m->told ? EIO : ECONNRESET,
                  "%s: ended with status %d", name, WEXITSTATUS(status));
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        error_hint(err, -EIO,
                   "it did what its seccomp filter does not allow; the kernel's log "
                   "has the number of the system call");
}

bool generation_reap(struct generation *g, pid_t pid, int status)
{
    for (size_t i = 0; i < g->count; i++) {
        struct member *m = &g->members[i];
        struct error err = {0};
        if (m->pid != pid)
            continue;
        listen_to(g, m);
        m->pid = 0;
        bool bad = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        explain_end(m, status, &err);
        if (bad || g->state != GENERATION_DRAINING)
            fail(g, &err);
        channel_free(&m->control);
        return true;
    }
    return false;
}

/* The ends of the others follow: each when the wires that it serves are closed. */
static bool begins_the_end(enum role role)
{
    return role == ROLE_GATE || role == ROLE_ADMIN || role == ROLE_MONITOR;
}

void generation_drain(struct generation *g, unsigned seconds)
{
    for (size_t i = 0; i < g->count; i++) {
        struct member *m = &g->members[i];
        struct error err = {0};
        if (m->pid > 0 && begins_the_end(m->process.role) &&
            channel_send(&m->control, MESSAGE_DRAIN, 0, NULL, 0, &err) < 0)
            kill(m->pid, SIGKILL);
    }
    enter(g, GENERATION_DRAINING, seconds);
}

bool generation_is_open(const struct generation *g)
{
    for (size_t i = 0; i < g->count; i++)
        if (begins_the_end(g->members[i].process.role) && g->members[i].pid > 0 &&
            !g->members[i].closed)
            return true;
    return false;
}

void generation_kill(struct generation *g)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->members[i].pid > 0)
            kill(g->members[i].pid, SIGKILL);
}

bool generation_ended(const struct generation *g)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->members[i].pid > 0)
            return false;
    return true;
}

void generation_free(struct generation *g)
{
    for (size_t i = 0; i < g->count; i++) {
        wires_close(&g->members[i].process);
        channel_free(&g->members[i].control);
    }
    free(g->members);
    free(g);
}
