/*
 * The processes of a broker. The supervisor starts them from one table (process.c), each by
 * executing itself anew, and gives each the ends of the wires that its role has, and nothing else.
 *
 *            sockets            transcripts                  (TLS key)
 *   guests ─────────► gate ◄──────────────── front × n ◄──── TLS, HTTP ────► guests
 *                      │ who is who            │ evidence      ▲
 *                      ▼                       ▼               │ answer
 *                    keeper ◄── decision ── appraiser × n      │
 *                    (KEK, store) ─────────────────────────────┘
 *                      ▲ wrap, unwrap, rewrap, checkpoint
 *                    admin (store) ◄── HTTP over UNIX socket or mutual TLS ── operators
 *                    monitor ◄── GET /healthz, /metrics
 *
 * One set of all of them is a generation. A reload, and the end of any process, makes a new
 * generation on the same listening sockets; the old one drains: its gate stops accepting, its
 * fronts finish the connections that they have, then all end.
 */
#ifndef ENCROOT_DAEMON_PROCESS_H
#define ENCROOT_DAEMON_PROCESS_H

#include "daemon/channel.h"
#include "daemon/config.h"

enum role {
    ROLE_GATE,
    ROLE_FRONT,
    ROLE_APPRAISER,
    ROLE_KEEPER,
    ROLE_ADMIN,
    ROLE_MONITOR,
    ROLE_COUNT
};

enum wire {
    WIRE_CONTROL,   /* supervisor – each */
    WIRE_HANDOFF,   /* gate – each front, SOCK_SEQPACKET */
    WIRE_SIGN,      /* gate – each front */
    WIRE_PEERS,     /* gate – keeper */
    WIRE_EVIDENCE,  /* front – its appraiser */
    WIRE_DECISION,  /* keeper – each appraiser */
    WIRE_ANSWER,    /* keeper – each front */
    WIRE_VAULT,     /* admin – keeper */
    WIRE_RELEASE,   /* listening sockets: gate */
    WIRE_ADMIN_TLS, /* admin */
    WIRE_ADMIN_UNIX,
    WIRE_MONITOR, /* monitor */
    WIRE_COUNT
};

struct process {
    enum role role;
    unsigned index; /* fronts and appraisers: of the pair */
    const struct daemon_config *config;
    /* By index of the pair, or of the listening socket; what a process has one of is at 0. */
    int fds[WIRE_COUNT][CONFIG_WORKERS_MAX];
    size_t count[WIRE_COUNT];
};

/*
 * A role's whole life: set up, confine itself (confine.h), tell the supervisor MESSAGE_READY, serve
 * until MESSAGE_DRAIN or the end of the supervisor. 0, or a negative errno after which the
 * generation ends.
 */
int gate_run(struct process *p, struct error *err) _must_use_;
int front_run(struct process *p, struct error *err) _must_use_;
int appraiser_run(struct process *p, struct error *err) _must_use_;
int keeper_run(struct process *p, struct error *err) _must_use_;
int admin_run(struct process *p, struct error *err) _must_use_;
int monitor_run(struct process *p, struct error *err) _must_use_;

/*
 * What is run as which role: the programs of tests put others in. A role without a function is not
 * started, and nobody gets a wire to it.
 */
struct role_table {
    int (*run[ROLE_COUNT])(struct process *p, struct error *err);
};

const char *role_name(enum role r);
bool role_is_paired(enum role r); /* one for each pair of front and appraiser */
bool role_stores(enum role r);    /* uses store and vault, and knows how */

/* ---- process.c: how a process comes to be ---- */
struct process_start {
    const char *config_name; /* path of the configuration, for errors and relative paths */
    int config_fd;           /* its text: a memfd */
    int metrics_fd;
};
/*
 * Start a process by executing this program anew, with the descriptors of `p` and no others. It
 * dies with the supervisor, and ignores the signals that a terminal sends to all.
 */
int process_spawn(const struct process *p, const struct process_start *s, pid_t *ret,
                  struct error *err) _must_use_;
/* Is this the command line of such a process? */
bool process_is_one(int argc, char **argv);
/* The life of one: returns its exit status. */
int process_main(const struct role_table *roles, int argc, char **argv);
/* A configuration's text, bounded and parsed; relative paths begin at the folder of `name`. */
int process_config(struct daemon_config *ret, int fd, const char *name, struct buffer *ret_text,
                   struct error *err) _must_use_;

#endif
