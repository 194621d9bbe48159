/*
 * What brokers keep: volumes, policies and reference values in versions, requests that wait for an
 * operator, the audit, and evidence for a while. One interface over SQLite (one file, WAL) and
 * PostgreSQL (several brokers at once); secrets come in wrapped (vault/kek.h, ATTACKS K3), so that
 * a store that was stolen gives none away.
 *
 *   sqlite:/var/lib/encrootd/broker.db
 *   postgresql://encroot@db.example.org/encroot?sslmode=verify-full    (libpq, 34.1.1.2)
 *
 * A store is one connection, for one thread. Whoever decides or changes something does so between
 * store_begin and store_commit: nothing is kept before store_commit returned 0, and then it is
 * durable. Writers exclude each other, in other processes and on other machines too, so that all
 * of them make one chain of records.
 *
 * -EHOSTDOWN from any call: the database cannot be used at present (stopped, full, gone, too slow);
 * the transaction, if any, is void, and the next store_begin or reading call tries anew,
 * reconnecting where needed. No call takes longer than the options' `patience`, but for the disk
 * under SQLite, and for looking up the name of a PostgreSQL server (a few seconds when no name
 * server answers). After -EHOSTDOWN from store_commit nobody can say whether the transaction was
 * kept: nothing that depends on it may be done, and the next one begins by store_audit_last.
 *
 * Outside of a transaction a call that changes something is -EINVAL; text that is not UTF-8, too.
 * What the database holds and this program cannot have written is -EUCLEAN.
 */
#ifndef ENCROOT_STORE_STORE_H
#define ENCROOT_STORE_STORE_H

#include "base/bytes.h"
#include "base/error.h"

#include <time.h>

#define STORE_NAME_MAX 64 /* of a volume: letters, digits, '.', '_', '-' */
#define STORE_ID_SIZE 33  /* 32 hex digits, NUL: correlation ids, requests */
#define STORE_ATTESTER_SIZE                                                                        \
    32 /* SHA-256 of the certificate that vouches for the guest's hardware */
#define STORE_WRAPPED_MAX 4096
#define STORE_SEAL_SIZE 40 /* what shows who wrote a row (vault/seal.h); zeros: nobody did */
#define STORE_POLICY_MAX ((size_t)8 << 20)
#define STORE_SCHEMA 2 /* the version that this program writes */

struct store;

struct store_options {
    bool migrate;              /* make the schema, or move an older one forward */
    unsigned patience;         /* milliseconds that one call may take; 0: 5000 */
    const char *password_file; /* PostgreSQL: a libpq password file (.pgpass); NULL: none */
};

/*
 * -EINVAL for a URL that makes no sense; -EPROTONOSUPPORT for a schema newer than STORE_SCHEMA, or
 * an older one without `migrate`. A database that cannot be reached is no error here: the calls say
 * -EHOSTDOWN until it can. SQLite files are made with mode 0600. The password of a URL never shows
 * in an error text.
 */
int store_open(struct store **ret, const char *url, const struct store_options *options,
               struct error *err) _must_use_;
void store_close(struct store *s);
static inline void cleanup_store(struct store **s)
{
    store_close(*s);
}
#define _store_ _cleanup_(cleanup_store)
/* Does the database answer? */
int store_ping(struct store *s, struct error *err) _must_use_;
/* Does it keep something? Writes what is there already: a full disk answers, and keeps nothing. */
int store_probe(struct store *s, struct error *err) _must_use_;

/* ---- transactions ---- */
int store_begin(struct store *s, struct error *err) _must_use_;
int store_commit(struct store *s, struct error *err) _must_use_;
/* Nothing was done; harmless without a transaction. */
void store_rollback(struct store *s);

/* ---- volumes ---- */
enum store_approval { STORE_APPROVAL_AUTO, STORE_APPROVAL_MANUAL };

struct store_volume {
    uint8_t uuid[16];
    char name[STORE_NAME_MAX + 1]; /* unique; the uuid's text if nobody gave one */
    bool enabled;
    enum store_approval approval;
    uint32_t rate_count,
        rate_seconds;             /* at most so many releases in so many seconds; 0: no limit */
    time_t not_before, not_after; /* 0: no limit */
    uint64_t revision;            /* grows with each change of policy or reference values */
    time_t created, changed;
    struct buffer wrapped; /* the secret; owned */
    /* made by the callers (daemon/seals.h): nothing here reads them */
    uint8_t effective_sha256[32], sources_sha256[32];
    uint8_t seal[STORE_SEAL_SIZE];
};
void store_volume_free(struct store_volume *v);
#define _store_volume_ _cleanup_(store_volume_free)

/* -EEXIST when uuid or name is taken. `policy` and `effective`: see store_policy_set. An empty name
 * becomes the uuid's text, `created` of 0 the present, the revision 1; `changed` is ignored. */
int store_volume_add(struct store *s, const struct store_volume *v, struct bytes policy,
                     struct bytes effective, struct error *err) _must_use_;
/* -ENOENT. */
int store_volume_get(struct store *s, const uint8_t uuid[16], struct store_volume *ret,
                     struct error *err) _must_use_;
/* By uuid in text form, or by name. -ENOENT. */
int store_volume_find(struct store *s, const char *name, struct store_volume *ret,
                      struct error *err) _must_use_;
/* enabled, approval, rate, window, name, seal. Not the secret, not the revision. -ENOENT, -EEXIST.
 */
int store_volume_update(struct store *s, const struct store_volume *v,
                        struct error *err) _must_use_;
/* Another wrapping of the same secret, another seal of the same volume; only if it is still wrapped
 * as `old` (-ESTALE). */
int store_volume_rewrap(struct store *s, const uint8_t uuid[16], struct bytes old, struct bytes new,
                        const uint8_t seal[STORE_SEAL_SIZE], struct error *err) _must_use_;
/* With policy, reference values and requests; the audit stays. -ENOENT. */
int store_volume_remove(struct store *s, const uint8_t uuid[16], struct error *err) _must_use_;
/*
 * In order of name, those behind `after` (NULL: from the first), at most `max`; returns how many,
 * or a negative errno. The caller frees each of them.
 */
int store_volume_list(struct store *s, const char *after, struct store_volume *ret, size_t max,
                      struct error *err) _must_use_;
/* The same in order of uuid, which no change of a volume moves: for work on all of them. */
int store_volume_list_by_uuid(struct store *s, const uint8_t *after, struct store_volume *ret,
                              size_t max, struct error *err) _must_use_;
int store_volume_count(struct store *s, uint64_t *ret, struct error *err) _must_use_;

/* ---- policies and reference values ---- */
/*
 * `policy` is what the owner wrote, without the reference values that are kept in versions;
 * `effective` is what guests are appraised by: the same with all valid versions in it. Nothing here
 * reads either. Each set makes the next revision of the volume, with v's digests and seal. -ENOENT.
 */
int store_policy_set(struct store *s, const struct store_volume *v, struct bytes policy,
                     struct bytes effective, struct error *err) _must_use_;
/* `policy`, `effective` (either may be NULL) are appended to; all of one revision. -ENOENT. */
int store_policy_get(struct store *s, const uint8_t uuid[16], uint64_t *revision,
                     struct buffer *policy, struct buffer *effective, struct error *err) _must_use_;

struct store_values {
    uint32_t version; /* 1.. per volume; never used twice */
    bool valid;
    time_t created;
    char label[STORE_NAME_MAX + 1]; /* free text of whoever added it; may be empty */
    struct buffer text;             /* hash.json; owned */
};
/* `ret_version` is the new one's; v->version is ignored. The caller then sets the policy anew. */
int store_values_add(struct store *s, const uint8_t uuid[16], const struct store_values *v,
                     uint32_t *ret_version, struct error *err) _must_use_;
int store_values_set_valid(struct store *s, const uint8_t uuid[16], uint32_t version, bool valid,
                           struct error *err) _must_use_; /* -ENOENT */
/* In order of version, those above `after`; returns how many; the caller frees each text. */
int store_values_list(struct store *s, const uint8_t uuid[16], uint32_t after,
                      struct store_values *ret, size_t max, struct error *err) _must_use_;
/* The same without texts, which stay in the database. */
int store_values_heads(struct store *s, const uint8_t uuid[16], uint32_t after,
                       struct store_values *ret, size_t max, struct error *err) _must_use_;

/* ---- requests that wait for an operator ---- */
enum store_request_state {
    STORE_REQUEST_PENDING,
    STORE_REQUEST_APPROVED, /* for one release, until `expires` */
    STORE_REQUEST_DENIED,   /* until `expires` */
    STORE_REQUEST_USED,
};
struct store_request {
    char id[STORE_ID_SIZE]; /* the correlation id of the first refusal */
    uint8_t volume[16];
    uint8_t attester[STORE_ATTESTER_SIZE];
    enum store_request_state state;
    char peer[64];
    time_t created, seen, expires;
    uint32_t count;       /* how often the guest asked */
    char decided_by[128]; /* who approved or denied; empty: nobody yet */
    uint8_t seal[STORE_SEAL_SIZE];
};
/* The newest of this volume and attester that has not expired and was not used; -ENOENT. */
int store_request_find(struct store *s, const uint8_t volume[16],
                       const uint8_t attester[STORE_ATTESTER_SIZE], time_t now,
                       struct store_request *ret, struct error *err) _must_use_;
int store_request_get(struct store *s, const char *id, struct store_request *ret,
                      struct error *err) _must_use_; /* -ENOENT */
/* By its id: made, or changed (-ENOENT without its volume, or if the id is another guest's). */
int store_request_put(struct store *s, const struct store_request *r, struct error *err) _must_use_;
/* Newest first, those not expired (all with `all`); returns how many. */
int store_request_list(struct store *s, bool all, time_t now, struct store_request *ret, size_t max,
                       struct error *err) _must_use_;
/* How many there are of this state that have not expired. */
int store_request_count(struct store *s, enum store_request_state state, time_t now, uint64_t *ret,
                        struct error *err) _must_use_;

/* ---- the audit (broker/audit.h) ---- */
/* Time, id and verdict are read as they are there: that they are those of the text is for who reads
 * that to say. */
struct store_record {
    uint64_t sequence;
    uint8_t hash[32];
    time_t time;
    char id[2 * STORE_ID_SIZE]; /* STORE_ID_SIZE when written */
    int64_t granted;            /* 1 or 0 when written */
    bool has_volume;
    uint8_t volume[16];
    struct buffer text;     /* the record; owned */
    struct buffer evidence; /* may be empty; owned */
};
void store_record_free(struct store_record *r);
#define _store_record_ _cleanup_(store_record_free)

/* The end of the chain: sequence 0 and zeros if there is none. Inside a transaction it cannot
 * change by others. */
int store_audit_last(struct store *s, uint64_t *sequence, uint8_t hash[32],
                     struct error *err) _must_use_;
/*
 * -EEXIST when there is a record of that number, -EINVAL when the one before it is missing. With
 * r->evidence unless it is empty. Does not wait for the database where it need not: what goes wrong
 * there is an error of a later call, store_commit at the latest.
 */
int store_audit_append(struct store *s, const struct store_record *r, struct error *err) _must_use_;
/*
 * In order of sequence, those behind `after`, at most `max` (texts only, no evidence); returns how
 * many. `newest`: the last `max` instead, newest first, `after` is then an exclusive upper bound
 * (0: none). `volume`: only those of this one; NULL: all.
 */
int store_audit_list(struct store *s, uint64_t after, bool newest, const uint8_t *volume,
                     struct store_record *ret, size_t max, struct error *err) _must_use_;
/* By correlation id, with evidence if it is still kept. -ENOENT. */
int store_audit_find(struct store *s, const char *id, struct store_record *ret,
                     struct error *err) _must_use_;
/* Releases of a volume since `since` (inclusive): for rate limits. */
int store_audit_count_granted(struct store *s, const uint8_t volume[16], time_t since,
                              uint64_t *ret, struct error *err) _must_use_;
/* Forget evidence of records older than `before`, and requests expired by then. Bounded work: at
 * most `max` of each; returns how many were removed. Not inside a transaction. */
int store_purge(struct store *s, time_t before, size_t max, struct error *err) _must_use_;

#endif
