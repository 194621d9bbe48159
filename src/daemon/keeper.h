/* What the keeper knows, for keeper*.c. It parses nothing but the structs of messages.h. */
#ifndef ENCROOT_DAEMON_KEEPER_H
#define ENCROOT_DAEMON_KEEPER_H

#include "daemon/connections.h"
#include "daemon/decide_volume.h"
#include "daemon/process.h"
#include "daemon/vault_service.h"

#define BATCH_CASES 512                /* in one transaction */
#define BATCH_BYTES ((size_t)32 << 20) /* of their messages */

/* A front and its appraiser. A channel whose fd is -1 is gone. */
struct pair {
    struct channel decision, answer;
    bool given_up;
    /* A decision that overtook the gate's word of its connection, which is on its way. */
    bool holds;
    uint64_t held_since;
    struct decision_case held;
};

struct keeper {
    const struct daemon_config *config;
    struct store *store;
    struct kek_ring ring;
    struct secret *seals; /* seal_keys of the ring */
    struct decider decider;
    struct allowance room;     /* for evidence */
    struct allowance refusals; /* for records of them */
    uint64_t shed_told;        /* when it was last logged that there is none; 0: never */
    struct connections connections;
    struct channel control, peers, vault;
    struct vault_service service;
    struct pair *pairs;
    size_t pair_count, next_pair; /* whose turn it is to be read first */
    struct decision_case *batch;  /* BATCH_CASES */
    size_t batch_count, batch_bytes;
    bool more; /* frames were left for the next round */
    bool store_down;
    uint64_t next_ping, next_purge, next_step; /* CLOCK_BOOTTIME; step: of rewrapping */
};

/* ---- keeper_messages.c: what comes in ---- */
/* Everything that the gate, the pairs and the administration have said, as far as there is room in
 * the batch. Negative errno: the gate broke the rules, without which nothing goes. */
int keeper_take(struct keeper *k, struct error *err) _must_use_;
/* An appraiser that asks faster than it reads what it is told waits until it did; what it says
 * behind a decision that is held waits with it. */
bool keeper_may_listen(const struct pair *p);
/* This pair broke the rules: nothing is released to it any more, and its wires end. */
void keeper_give_up(struct keeper *k, struct pair *p, const struct error *why);

/* ---- keeper_decide.c: what goes out ---- */
void keeper_send_policy(struct keeper *k, struct pair *p, const uint8_t volume[16]);
/* A refusal of a connection that is over, which no record is made of. */
void keeper_refuse_late(struct keeper *k, struct pair *p, uint64_t connection);
/* Decide all that waits, and answer. */
void keeper_decide(struct keeper *k);
/* Write what was said to the pairs. */
void keeper_flush(struct keeper *k);
/* `r`: what a call of the store returned. */
void keeper_store_state(struct keeper *k, int r, const struct error *err);

#endif
