/*
 * One set of all processes of a broker, from their start to the end of the last. It starts the
 * keeper, then, when that is set up, the others, and at last the gate: so no guest is accepted by a
 * generation that cannot serve.
 */
#ifndef ENCROOT_DAEMON_GENERATION_H
#define ENCROOT_DAEMON_GENERATION_H

#include "daemon/setup.h"

enum generation_state {
    GENERATION_STARTING,
    GENERATION_SERVING,
    GENERATION_DRAINING,
};

struct member { /* one process */
    struct process process;
    pid_t pid; /* 0: not started, or reaped */
    struct channel control;
    bool ready, closed;
    bool told; /* why it ends: its exit says no more */
};

struct generation_plan {
    const struct role_table *roles;
    const char *config_name;
    int metrics_fd;
    uint64_t number;
    const struct setup *setup; /* must stay until the generation serves */
};

struct generation {
    struct generation_plan plan;
    enum generation_state state;
    unsigned stage;    /* of the start: how far it is */
    uint64_t since;    /* when it came into this state, CLOCK_BOOTTIME */
    uint64_t deadline; /* STARTING, DRAINING: it is killed then */
    unsigned request_seconds;
    struct member *members;
    size_t count;
    struct error failure; /* code 0: none; the first that is not the echo of another */
    uint64_t settled;     /* 0, or when the failure is final */
    struct generation *next;
};

int generation_start(struct generation **ret, const struct generation_plan *plan,
                     struct error *err) _must_use_;
/* Read what the processes said, start those whose turn it is, and serve when all are ready. */
void generation_advance(struct generation *g);
/* Is it a process of this one that ended? Then it is remembered, with the reason. */
bool generation_reap(struct generation *g, pid_t pid, int status);
/* Finish what there is and end, `seconds` from now at the latest. */
void generation_drain(struct generation *g, unsigned seconds);
/* Did it fail, and is it known why? */
bool generation_failed(const struct generation *g);
/* While it drains: might a process of it still take a new connection? */
bool generation_is_open(const struct generation *g);
/* SIGKILL to all; they still must be reaped. */
void generation_kill(struct generation *g);
bool generation_ended(const struct generation *g); /* no process is left */
void generation_free(struct generation *g);

#endif
