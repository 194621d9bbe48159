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
    int fds[WIRE_COUNT][CONFIG_WORKERS_MAX]; /* by index of the pair, or of the listening socket */
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

const char *role_name(enum role r);

#endif
