/*
 * The audit: a chain of records, one for each decision, and one for each change that somebody made
 * of what is decided by. A record is one JSON object in one form (jansson's with JSON_COMPACT and
 * JSON_SORT_KEYS), which holds the hash of the record before it:
 *
 *   hash = SHA-256("encroot audit v1" ‖ 0 ‖ the record's text without its member "hash")
 *
 * So no record can be changed, left out, put in or moved without all later hashes becoming others
 * (ATTACKS, K2). What is cut off at the end, or a chain made anew from some record on, is seen only
 * by who knows a later hash from elsewhere. Nothing here knows where records are kept.
 */
#ifndef ENCROOT_BROKER_AUDIT_H
#define ENCROOT_BROKER_AUDIT_H

#include "base/json.h"
#include "broker/release.h"

#define AUDIT_HASH_SIZE 32
#define AUDIT_RECORD_MAX ((size_t)256 << 10) /* bytes of one record; most have a few thousand */
#define AUDIT_TEXT_MAX ((size_t)4096)        /* bytes of a text in a finding; the rest is cut */

/* A chain is known by its last record; the zero value is a chain without any. */
struct audit_state {
    uint64_t sequence; /* its number; the first is 1 */
    uint8_t hash[AUDIT_HASH_SIZE];
};

/* What a decision's record is made of, borrowed. Neither this nor a record has a secret in it (K5).
 */
struct audit_entry {
    const char *id; /* of the decision: RELEASE_ID_SIZE - 1 hex digits */
    const struct findings *findings;
    bool granted;
    const uint8_t *request_sha256;  /* 32 bytes: of what the guest sent, as it came */
    const uint8_t *volume;          /* 16 bytes; NULL: the evidence could not be read */
    const char *platform;           /* with `volume` */
    const uint8_t *evidence_sha256; /* 32 bytes, with `volume`: of its text by evidence_format() */
    const char *broker;             /* the name of who decides, not empty */
    const char *peer;               /* address and port */
    time_t time;
    uint64_t recovered; /* bytes of an unfinished record that were moved away before this one */
};

/*
 * The record that follows `last`: its text, without a line end, of at most AUDIT_RECORD_MAX bytes
 * whatever a guest sent. Every rejection is in it with its texts, of other checks the name; of more
 * findings than have room only their number ("omitted"). `ret_next` is the chain's state once the
 * record is kept. -EINVAL if the verdict contradicts the findings.
 */
int audit_make(const struct audit_state *last, const struct audit_entry *e, struct buffer *ret,
               struct audit_state *ret_next, struct error *err) _must_use_;

/* What a change's record is made of, borrowed. */
struct audit_change {
    const char *id;        /* as of a decision */
    const char *action;    /* "volume.add": lower-case letters and full stops */
    const char *user;      /* who made it, not empty */
    const uint8_t *volume; /* 16 bytes; NULL: of no volume, or of all */
    const char *detail;    /* how, not empty; NULL: there is no more to say */
    const char *broker;    /* the name of the one that was told, not empty */
    time_t time;
};

/* As audit_make. */
int audit_make_change(const struct audit_state *last, const struct audit_change *c,
                      struct buffer *ret, struct audit_state *ret_next,
                      struct error *err) _must_use_;

enum audit_verdict { AUDIT_DENIED, AUDIT_GRANTED, AUDIT_CHANGED, AUDIT_VERDICTS };
const char *audit_verdict_name(enum audit_verdict v);

struct audit_record {
    uint64_t sequence;
    uint8_t previous[AUDIT_HASH_SIZE];
    uint8_t hash[AUDIT_HASH_SIZE]; /* as the record says */
    enum audit_verdict verdict;
    uint64_t recovered;
    const char *time, *id, *broker; /* borrowed from `json`, as all texts here */
    const char *volume;             /* NULL: there was no readable evidence; a change: of none */
    const char *peer, *reason;      /* a decision's; the check that rejected first, if any did */
    const char *user, *action;      /* a change's, else NULL */
    const char *detail;             /* a change's, or NULL */
    json_t *json;                   /* the whole of it; owned */
};

/*
 * Read one record, without its line end. Strict: -EINVAL for unknown, missing or mistyped members,
 * a verdict that its findings contradict, and any other form than the canonical one. Its hash is
 * not looked at. `name` is used in errors.
 */
int audit_parse(struct audit_record *ret, struct bytes text, const char *name,
                struct error *err) _must_use_;
void audit_record_free(struct audit_record *r);
#define _audit_record_ _cleanup_(audit_record_free)

/* Is the record's hash that of the record? -EUCLEAN if not. */
int audit_verify_hash(const struct audit_record *r, const char *name, struct error *err) _must_use_;
/* The same, and does it follow `last`? -EUCLEAN if not. */
int audit_verify(const struct audit_state *last, const struct audit_record *r, const char *name,
                 struct error *err) _must_use_;
/* The state of a chain that ends in this record. */
struct audit_state audit_state_after(const struct audit_record *r);

/* SHA-256 over the domain and the object without its member "hash". */
int audit_hash(uint8_t ret[AUDIT_HASH_SIZE], json_t *record, struct error *err) _must_use_;
/* The one form of a record, or of a part of one, as text. */
int audit_format(const json_t *j, struct buffer *ret, struct error *err) _must_use_;

#endif
