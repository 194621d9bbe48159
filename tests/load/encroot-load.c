/*
 * encroot-load: many guests at once, each with fresh evidence, against real brokers. Test and
 * measuring tool; it is not installed.
 */
#include "report.h"
#include "base/hex.h"
#include "cli/options.h"
#include "crypto/tls.h"

#include <err.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/dial.h"

struct load {
    const char *state, *prepare, *certificate, *kind, *log;
    struct option_list brokers, volumes;
    uint64_t clients, seconds, count, rate, patience, limit, idle;
    /* the run */
    struct fleet fleet;
    struct report report;
    uint64_t start, stop;
    uint64_t next; /* number of the next guest; atomic */
};

/* ---- the run ---- */
static volatile sig_atomic_t told_to_end;

static void end_soon(int signal)
{
    told_to_end = 1;
}

/* Wait for the turn of guest `number`. False: the run is over. */
static bool wait_turn(const struct load *l, uint64_t number, uint64_t *ret_due)
{
    uint64_t now = clock_now();
    *ret_due = l->rate ? l->start + number * SECONDS(1) / l->rate : now;
    if (told_to_end || (l->count ? number >= l->count : *ret_due >= l->stop))
        return false;
    if (*ret_due > now) {
        uint64_t rest = *ret_due - now;
        struct timespec t = {.tv_sec = (time_t)(rest / SECONDS(1)),
                             .tv_nsec = (long)(rest % SECONDS(1))};
        nanosleep(&t, NULL);
    }
    return true;
}

/* With a rate, latency counts from when the guest was due, not from when a thread was free. */
static void *client(void *arg)
{
    struct load *l = arg;
    uint64_t due;
    for (;;) {
        uint64_t number = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
        struct answer a;
        if (!wait_turn(l, number, &due))
            return NULL;
        request_make(&l->fleet, number, &a);
        report_add(&l->report, number, &a, clock_now() - due);
    }
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static json_t *run(struct load *l)
{
    pthread_t threads[1024];
    double cpu = cpu_seconds();
    l->start = clock_now();
    l->stop = l->start + SECONDS(l->seconds);
    for (size_t i = 0; i < l->clients; i++)
        if (pthread_create(&threads[i], NULL, client, l) != 0)
            errx(1, "starting a thread failed");
    for (size_t i = 0; i < l->clients; i++)
        pthread_join(threads[i], NULL);
    json_t *j = report_json(&l->report, (double)(clock_now() - l->start) / 1e9);
    json_object_set_new(j, "client_cpu_seconds", json_real(cpu_seconds() - cpu));
    return j;
}

/* ---- idle connections ---- */
static int *open_idle(const struct load *l)
{
    int *fds = calloc(l->idle ? l->idle : 1, sizeof(int));
    for (size_t i = 0; i < l->idle; i++) {
        struct error e = {0};
        const struct target *t = &l->fleet.brokers[i % l->fleet.broker_count];
        fds[i] = dial(t->host, t->port, clock_now() + SECONDS(60), &e);
        if (fds[i] < 0)
            errx(1, "idle connection %zu: %s", i, e.text);
    }
    return fds;
}

/* How many did the brokers leave open? */
static json_int_t count_open(const struct load *l, int *fds)
{
    json_int_t open = 0;
    for (size_t i = 0; i < l->idle; i++) {
        char byte;
        open += recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
        close(fds[i]);
    }
    free(fds);
    return open;
}

/* ---- what it is told ---- */
static void parse_broker(struct target *ret, const char *text)
{
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof(ret->host))
        errx(2, "--broker %s: expected HOST:PORT", text);
    snprintf(ret->host, sizeof(ret->host), "%.*s", (int)(colon - text), text);
    ret->port = strtoull(colon + 1, NULL, 10);
}

static void set_up(struct load *l, struct machine_kind *kind)
{
    struct error e = {0};
    static uint8_t volumes[OPTION_LIST_MAX][16];
    if (l->brokers.count == 0 || l->brokers.count > BROKERS_MAX || l->volumes.count == 0 ||
        !l->certificate)
        errx(2, "--broker, --certificate and --volume are needed; see --help");
    l->fleet = (struct fleet){.kind = kind,
                              .volumes = (const uint8_t(*)[16])volumes,
                              .volume_count = l->volumes.count,
                              .broker_count = l->brokers.count,
                              .patience = SECONDS(l->patience),
                              .limit = SECONDS(l->limit)};
    for (size_t i = 0; i < l->brokers.count; i++)
        parse_broker(&l->fleet.brokers[i], l->brokers.items[i]);
    for (size_t i = 0; i < l->volumes.count; i++)
        if (uuid_parse(l->volumes.items[i], volumes[i]) < 0)
            errx(2, "--volume %s: not a UUID", l->volumes.items[i]);
    must(tls_certificate_pin(l->fleet.pin, l->certificate, &e), &e);
}

static void load(struct load *l, struct machine_kind *kind)
{
    FILE *log = l->log ? fopen(l->log, "we") : NULL;
    if (l->log && !log)
        err(1, "%s", l->log);
    set_up(l, kind);
    report_begin(&l->report, log);
    int *idle = open_idle(l);
    json_t *j = run(l);
    json_object_set_new(j, "idle_open", json_integer(count_open(l, idle)));
    json_dumpf(j, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(j);
    if (log)
        fclose(log);
    report_end(&l->report);
}

int main(int argc, char **argv)
{
    static struct load l = {
        .kind = "p521", .clients = 16, .seconds = 10, .patience = 30, .limit = 20};
    const struct option_spec options[] = {
        {0, "state", OPTION_STRING, "DIR", "the software TMM's keys (made if DIR is empty)",
         &l.state, 0, 0},
        {0, "prepare", OPTION_STRING, "DIR", "only write DIR/hash.json and DIR/rim", &l.prepare, 0,
         0},
        {0, "broker", OPTION_LIST, "HOST:PORT", "may be given several times", &l.brokers, 0, 0},
        {0, "certificate", OPTION_STRING, "FILE", "of the brokers, PEM: its key is pinned",
         &l.certificate, 0, 0},
        {0, "volume", OPTION_LIST, "UUID", "that guests ask for, in turn", &l.volumes, 0, 0},
        {0, "kind", OPTION_STRING, "p521|rsa", "keys of the platform (p521)", &l.kind, 0, 0},
        {0, "clients", OPTION_UINT, "N", "guests at once (16)", &l.clients, 1, 1024},
        {0, "seconds", OPTION_UINT, "N", "how long to go on (10)", &l.seconds, 1, 86400},
        {0, "count", OPTION_UINT, "N", "so many guests instead", &l.count, 1, 100000000},
        {0, "rate", OPTION_UINT, "N", "guests a second; else as fast as they are served", &l.rate,
         1, 1000000},
        {0, "patience", OPTION_UINT, "S", "seconds that a guest tries on, at all brokers (30)",
         &l.patience, 0, 3600},
        {0, "limit", OPTION_UINT, "S", "seconds of one attempt (20)", &l.limit, 1, 3600},
        {0, "idle", OPTION_UINT, "N", "hold so many silent connections besides", &l.idle, 1,
         1000000},
        {0, "log", OPTION_STRING, "FILE", "one line a guest", &l.log, 0, 0},
        {0}};
    const struct usage usage = {
        .synopsis = "encroot-load --state DIR --broker HOST:PORT --certificate FILE --volume UUID",
        .about =
            "Play many guests that ask brokers for their keys. Prints figures as JSON. SIGTERM\n"
            "ends it before its time: no more guests come, and those that there are go on.",
        .options = options};
    struct machine_kind kind;
    struct error e = {0};
    int r = options_parse(&usage, argc, argv, NULL);
    if (r != OPTIONS_DONE)
        return r;
    if (!l.state)
        errx(2, "--state is needed; see --help");
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, end_soon);
    mkdir(l.state, 0700);
    must(machine_kind_open(&kind, l.state,
                           strcmp(l.kind, "rsa") == 0 ? AUTHORITY_RSA : AUTHORITY_P521, &e),
         &e);
    if (l.prepare)
        must(machine_write_reference(l.prepare, &e), &e);
    else
        load(&l, &kind);
    machine_kind_close(&kind);
    return 0;
}
