/*
 * The decision: what appraisers found × what the store knows of the volumes → records of the audit,
 * and only then secrets. All that waits is decided in one transaction, in the order that it came.
 *
 *   chain's end → { known? → policy current? → sealed? → enabled? → window? → rate? → approval?
 *                   → unwrap → record } × n → commit → outcomes
 *
 * No processes, wires or clock in here: everything comes in, and what was decided goes out.
 */
#ifndef ENCROOT_DAEMON_DECIDE_H
#define ENCROOT_DAEMON_DECIDE_H

#include "daemon/allowance.h"
#include "daemon/config.h"
#include "daemon/messages.h"

enum outcome {
    OUTCOME_UNAVAILABLE, /* nothing was decided; or a secret that passed could not be had */
    OUTCOME_SHED,        /* not decided: more is refused than may be recorded */
    OUTCOME_STALE,       /* by a policy that is not the volume's any more: not recorded */
    OUTCOME_UNREADABLE,
    OUTCOME_DENIED,
    OUTCOME_PENDING,
    OUTCOME_RELEASED,
    OUTCOME_COUNT
};

/* What the guest is told (K4): an HTTP status and a code. STALE has none. */
struct outcome_answer {
    uint32_t status;
    const char *code;
};
extern const struct outcome_answer outcome_answers[OUTCOME_COUNT];

/* Who decides, and by what. */
struct decider {
    struct store *store;
    const struct kek_ring *ring;
    const struct secret *seals; /* seal_keys of the ring */
    const char *broker;         /* its name, in records */
    enum evidence_keep keep;
    struct allowance *room;     /* bytes of evidence that may be kept; NULL: as many as there are */
    struct allowance *refusals; /* bytes of records of evidence that did not pass; NULL: any */
    unsigned approval_seconds;  /* how long a request waits at least that nobody repeats */
};

/* One decision. */
struct decision_case {
    uint64_t connection;
    unsigned worker;
    struct message_decision said;
    struct findings findings; /* the appraiser's; rejections of the decision are added */
    size_t appraised;         /* how many of them are the appraiser's, once it is decided */
    struct buffer names;      /* of their checks */
    struct buffer evidence;
    size_t size; /* of the message that it came in */
    char peer[MESSAGE_PEER_SIZE];
    /* what became of it */
    enum outcome outcome;
    char id[RELEASE_ID_SIZE];
    char name[STORE_NAME_MAX + 1]; /* of the volume; empty: unknown */
    uint64_t edition;              /* of the volume's policy; OUTCOME_STALE: by which to appraise */
    uint64_t sequence;             /* of its record; 0: not recorded */
    struct secret *secret;         /* OUTCOME_RELEASED only; owned */
};
void decision_case_free(struct decision_case *c);

/*
 * Decide all of `cases`, whose outcomes it sets. What could not be decided is OUTCOME_UNAVAILABLE,
 * has no record and no secret: those that the store holds damaged data for (-EUCLEAN), or, if it
 * cannot be used, all. Returns 0, or why.
 */
int decide_all(const struct decider *d, struct decision_case *cases, size_t count, time_t now,
               struct error *err) _must_use_;

#endif
