/* What an attacker tries who runs code in a front. */
#ifndef ENCROOT_TESTS_ATTACKS_H
#define ENCROOT_TESTS_ATTACKS_H

#include "daemon/messages.h"
#include "daemon/process.h"

#include <sys/types.h>

/* What a front has, and what an attacker knows. */
struct victim {
    const struct daemon_config *config;
    struct channel control, sign, evidence, answers;
    int handoff;
    pid_t keeper, supervisor;
    struct buffer body; /* of attack.json */
};

struct attack {
    const char *name; /* NULL behind the last */
    bool system;      /* a system call, for which it is to be killed, or which is to fail */
    void (*run)(struct victim *v, const struct attack *self);
    uint64_t argument;
};

extern const struct attack system_attacks[], wire_attacks[];
/* Of all; NULL behind the last. */
const struct attack *attack_at(size_t i);

/* Before it is confined: takes over the wires. */
void victim_find(struct victim *v, struct process *p);
/* One line on standard error. */
void attack_report(const struct attack *a, bool breach, const char *text);

#endif
