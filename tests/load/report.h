/* What came of many requests. */
#ifndef ENCROOT_TESTS_LOAD_REPORT_H
#define ENCROOT_TESTS_LOAD_REPORT_H

#include "request.h"

#include <jansson.h>
#include <pthread.h>

struct report {
    pthread_mutex_t lock;
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t attempts;
    uint64_t *latencies; /* nanoseconds, of what was released */
    size_t count, room;
    char last_failure[256]; /* of an attempt, whatever became of its request */
    char last_refusal[64];  /* correlation id */
    FILE *log;              /* one line a request, if not NULL */
};

void report_begin(struct report *r, FILE *log);
/* From any thread. */
void report_add(struct report *r, uint64_t number, const struct answer *a, uint64_t latency);
/* All figures as one object; sorts the latencies. `seconds`: how long it took. */
json_t *report_json(struct report *r, double seconds);
void report_end(struct report *r);

#endif
