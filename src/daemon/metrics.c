#include "daemon/metrics.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define CACHE_LINE 64

/* Each on a line of its own: processors that count different things do not wait for each other. */
struct cell {
    _Alignas(CACHE_LINE) _Atomic uint64_t value;
};
#define PAGE_BYTES (sizeof(struct cell) * METRIC_COUNT)

static struct cell *cells; /* NULL: nobody counts */
static bool read_only;

static const struct metric_text {
    const char *name, *type, *help;
    unsigned per; /* value / per is what the name says; 0: as it is */
} texts[METRIC_COUNT] = {
    [METRIC_CONNECTIONS] = {"connections_total", "counter", "Connections accepted."},
    [METRIC_CONNECTIONS_ENDED] = {"connections_ended_total", "counter",
                                  "Accepted connections that ended."},
    [METRIC_CONNECTIONS_SHED] = {"connections_shed_total", "counter",
                                 "Connections closed unserved: there were too many."},
    [METRIC_HANDSHAKES] = {"handshakes_total", "counter", "TLS handshakes completed."},
    [METRIC_HANDSHAKES_FAILED] = {"handshakes_failed_total", "counter", "TLS handshakes failed."},
    [METRIC_TIMEOUTS] = {"timeouts_total", "counter", "Connections ended by a deadline."},
    [METRIC_REQUESTS_MALFORMED] = {"requests_malformed_total", "counter",
                                   "Requests answered 4xx without a decision."},
    [METRIC_APPRAISALS] = {"appraisals_total", "counter", "Evidence appraised."},
    [METRIC_APPRAISAL_MICROSECONDS] = {"appraisal_seconds_total", "counter",
                                       "Time spent on appraisal.", 1000000},
    [METRIC_RELEASED] = {"released_total", "counter", "Secrets released."},
    [METRIC_DENIED] = {"denied_total", "counter", "Requests denied."},
    [METRIC_PENDING] = {"pending_total", "counter",
                        "Requests denied that wait for an operator's approval."},
    [METRIC_UNAVAILABLE] = {"unavailable_total", "counter", "Requests answered 503."},
    [METRIC_SHED] = {"shed_total", "counter",
                     "Refusals answered 503, undecided: more than may be recorded."},
    [METRIC_COMMITS] = {"commits_total", "counter",
                        "Durable writes to the store, each of one or more decisions."},
    [METRIC_COMMIT_MICROSECONDS] = {"commit_seconds_total", "counter",
                                    "Time spent on durable writes.", 1000000},
    [METRIC_STORE_ERRORS] = {"store_errors_total", "counter", "Failures of the store."},
    [METRIC_STORE_UP] = {"store_up", "gauge", "1 when the store answers, else 0."},
    [METRIC_AUDIT_SEQUENCE] = {"audit_sequence", "gauge",
                               "Number of the last audit record that this broker saw."},
    [METRIC_GENERATION] = {"generation", "gauge", "Generation of processes that serves."},
    [METRIC_RESTARTS] = {"restarts_total", "counter", "Generations that a failure ended."},
};

static int map(int fd, int protection, struct error *err)
{
    void *p = mmap(NULL, PAGE_BYTES, protection, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return error_errno(err, errno, "mapping the metrics");
    cells = p;
    read_only = !(protection & PROT_WRITE);
    return 0;
}

int metrics_create(int *ret_fd, struct error *err)
{
    /* Sealed: a process that cuts it short would end all others (SIGBUS). */
    static const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    _close_ int fd = memfd_create("encroot-metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, PAGE_BYTES) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
        return error_errno(err, errno, "making the metrics");
    int r = map(fd, PROT_READ | PROT_WRITE, err);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int metrics_attach(int fd, bool writable, struct error *err)
{
    return map(fd, writable ? PROT_READ | PROT_WRITE : PROT_READ, err);
}

void metrics_add(enum metric m, uint64_t n)
{
    if (cells && !read_only)
        atomic_fetch_add_explicit(&cells[m].value, n, memory_order_relaxed);
}

void metrics_set(enum metric m, uint64_t value)
{
    if (cells && !read_only)
        atomic_store_explicit(&cells[m].value, value, memory_order_relaxed);
}

void metrics_raise(enum metric m, uint64_t value)
{
    uint64_t old = metrics_get(m);
    while (cells && !read_only && old < value &&
           !atomic_compare_exchange_weak_explicit(&cells[m].value, &old, value,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

uint64_t metrics_get(enum metric m)
{
    return cells ? atomic_load_explicit(&cells[m].value, memory_order_relaxed) : 0;
}

static int format_one(struct buffer *ret, const struct metric_text *t, uint64_t value)
{
    int r = buffer_printf(ret, "# HELP encroot_%s %s\n# TYPE encroot_%s %s\nencroot_%s ", t->name,
                          t->help, t->name, t->type, t->name);
    if (r < 0)
        return r;
    if (t->per)
        return buffer_printf(ret, "%" PRIu64 ".%06" PRIu64 "\n", value / t->per, value % t->per);
    return buffer_printf(ret, "%" PRIu64 "\n", value);
}

int metrics_format(struct buffer *ret, struct error *err)
{
    int r = buffer_printf(ret, "# HELP encroot_build_info Version of this broker, in its label.\n"
                               "# TYPE encroot_build_info gauge\n"
                               "encroot_build_info{version=\"" ENCROOT_VERSION "\"} 1\n");
    for (size_t i = 0; r == 0 && i < METRIC_COUNT; i++)
        r = format_one(ret, &texts[i], metrics_get((enum metric)i));
    return r < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}
