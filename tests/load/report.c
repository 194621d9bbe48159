#include "report.h"

#include <inttypes.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[OUTCOME_COUNT] = {"released", "denied", "unavailable", "failed"};

void report_begin(struct report *r, FILE *log)
{
    *r = (struct report){.lock = PTHREAD_MUTEX_INITIALIZER, .log = log};
}

void report_end(struct report *r)
{
    free(r->latencies);
}

static void add_latency(struct report *r, uint64_t latency)
{
    if (r->count == r->room) {
        r->room = r->room ? 2 * r->room : 4096;
        r->latencies = realloc(r->latencies, r->room * sizeof(*r->latencies));
        if (!r->latencies)
            errx(1, "out of memory");
    }
    r->latencies[r->count++] = latency;
}

void report_add(struct report *r, uint64_t number, const struct answer *a, uint64_t latency)
{
    pthread_mutex_lock(&r->lock);
    r->outcomes[a->outcome]++;
    r->attempts += a->attempts;
    if (a->outcome == OUTCOME_RELEASED)
        add_latency(r, latency);
    else if (a->outcome == OUTCOME_DENIED)
        memcpy(r->last_refusal, a->id, sizeof(r->last_refusal));
    if (a->text[0] && a->outcome != OUTCOME_DENIED)
        memcpy(r->last_failure, a->text, sizeof(r->last_failure));
    if (r->log)
        fprintf(r->log, "%" PRIu64 " %s attempts=%u us=%" PRIu64 " %s\n", number, names[a->outcome],
                a->attempts, latency / 1000,
                a->outcome == OUTCOME_RELEASED ? a->secret_sha256 : a->text);
    pthread_mutex_unlock(&r->lock);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Milliseconds that `part` of the released requests took at most. */
static double percentile(const struct report *r, double part)
{
    size_t i = (size_t)(part * (double)r->count);
    return r->count ? (double)r->latencies[i < r->count ? i : r->count - 1] / 1e6 : 0;
}

json_t *report_json(struct report *r, double seconds)
{
    if (r->count)
        qsort(r->latencies, r->count, sizeof(*r->latencies), compare);
    json_t *j = json_pack("{s:f, s:f, s:f, s:f, s:f, s:I, s:s, s:s}", "seconds", seconds,
                          "released_per_second", (double)r->count / seconds, "p50_ms",
                          percentile(r, 0.50), "p99_ms", percentile(r, 0.99), "max_ms",
                          percentile(r, 1), "attempts", (json_int_t)r->attempts, "last_failure",
                          r->last_failure, "last_refusal", r->last_refusal);
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        json_object_set_new(j, names[i], json_integer((json_int_t)r->outcomes[i]));
    return j;
}
