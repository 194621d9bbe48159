#include "attacks.h"

#include <stdio.h>
#include <string.h>

const struct attack *attack_at(size_t i)
{
    for (const struct attack *a = system_attacks; a->name; a++)
        if (i-- == 0)
            return a;
    for (const struct attack *a = wire_attacks; a->name; a++)
        if (i-- == 0)
            return a;
    return NULL;
}

/* The supervisor's first child that says so of itself; else some process, for the call is what
 * matters. */
static pid_t find_keeper(pid_t supervisor)
{
    char path[64], line[4096] = "";
    int pid;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)supervisor, (int)supervisor);
    _fclose_ FILE *children = fopen(path, "r");
    while (children && fscanf(children, "%d", &pid) == 1) {
        snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
        _fclose_ FILE *f = fopen(path, "r");
        size_t n = f ? fread(line, 1, sizeof(line), f) : 0;
        if (memmem(line, n, "keeper", 7))
            return pid;
    }
    return supervisor;
}

void victim_find(struct victim *v, struct process *p)
{
    v->config = p->config;
    channel_init(&v->control, p->fds[WIRE_CONTROL][0]);
    channel_init(&v->sign, p->fds[WIRE_SIGN][0]);
    channel_init(&v->evidence, p->fds[WIRE_EVIDENCE][0]);
    channel_init(&v->answers, p->fds[WIRE_ANSWER][0]);
    v->handoff = p->fds[WIRE_HANDOFF][0];
    v->supervisor = getppid();
    v->keeper = find_keeper(v->supervisor);
}

void attack_report(const struct attack *a, bool breach, const char *text)
{
    char line[512];
    int n = snprintf(line, sizeof(line), "attack %s: %s %s\n", a->name, breach ? "BREACH" : "SAFE",
                     text);
    if (n > 0)
        (void)!write(STDERR_FILENO, line, (size_t)n);
}
