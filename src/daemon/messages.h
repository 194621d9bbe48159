/*
 * What the processes of one broker tell each other (ARCHITECTURE.md, "Broker"), in frames of
 * daemon/channel.h. Every body is a struct of fixed layout, then bytes whose sizes are in it: the
 * gate and the keeper, which hold keys, read nothing else, least of all what guests wrote.
 *
 * What a process may ask is bounded by what it was given: for each connection that the gate handed
 * to a front, that front gets one signature, and its pair of front and appraiser one decision.
 */
#ifndef ENCROOT_DAEMON_MESSAGES_H
#define ENCROOT_DAEMON_MESSAGES_H

#include "base/findings.h"
#include "base/secret.h"
#include "broker/release.h"
#include "crypto/volume_key.h"
#include "daemon/change.h"
#include "daemon/channel.h"
#include "protocol/channel.h"
#include "store/store.h"
#include "vault/kek.h"

#define MESSAGE_PEER_SIZE 64 /* "address port n", NUL */
#define MESSAGE_FINDINGS_MAX ((size_t)4 << 20)
#define MESSAGE_TEXT_MAX ((size_t)8 << 10) /* of a text in a finding; the rest is cut */

enum message {
    MESSAGE_NONE,
    /* any → supervisor: set up and confined; supervisor → any: finish what there is, then end */
    MESSAGE_READY,
    MESSAGE_DRAIN,
    MESSAGE_CLOSED, /* any → supervisor, after that: who connects now is none of its */
    MESSAGE_FAILED, /* any → supervisor, why it ends: int32_t code, text, NUL, hint, NUL */

    /* gate → front (SOCK_SEQPACKET, with the socket as SCM_RIGHTS); gate → keeper */
    MESSAGE_CONNECTION, /* struct message_connection */
    /* front → gate */
    MESSAGE_ENDED, /* no body */
    MESSAGE_SIGN,  /* struct message_sign */
    /* gate → front */
    MESSAGE_SIGNATURE, /* DER; empty: refused */

    /* front → appraiser */
    MESSAGE_EVIDENCE, /* exporter[CHANNEL_EXPORTER_SIZE], then the request's body */
    /* appraiser → keeper */
    MESSAGE_POLICY_WANTED, /* volume[16]; of no connection */
    MESSAGE_DECISION,      /* struct message_decision, findings, evidence */
    /* keeper → appraiser */
    MESSAGE_POLICY,  /* struct message_policy, then the effective policy; of no connection */
    MESSAGE_STALE,   /* struct message_policy: appraise this connection's evidence by that one */
    MESSAGE_DECIDED, /* no body: its evidence is not needed any more */
    /* keeper → front */
    MESSAGE_ANSWER, /* struct message_answer */

    /* admin → keeper → admin; one at a time. An answer's first bytes are struct message_result */
    MESSAGE_SEAL_KEYS,    /* no body → result, the seal keys (vault/seal.h) */
    MESSAGE_WRAP,         /* volume[16], secret[VOLUME_SECRET_SIZE] → result, wrapped */
    MESSAGE_UNWRAP,       /* struct message_user, volume[16], wrapped → result, secret */
    MESSAGE_REWRAP,       /* struct message_user → result, struct message_rewrap: it was begun */
    MESSAGE_REWRAP_STATE, /* no body → result, struct message_rewrap */
    MESSAGE_CHECKPOINT,   /* no body → result, struct message_checkpoint, DER signature */
    MESSAGE_RESULT,
    /* keeper → gate: struct message_checkpoint; gate → keeper: MESSAGE_SIGNATURE */
    MESSAGE_SIGN_CHECKPOINT,
};

struct message_connection {
    char peer[MESSAGE_PEER_SIZE];
    uint32_t worker; /* index of the pair that it was given to */
};

/* The transcript hash of a TLS 1.3 CertificateVerify (RFC 8446, 4.4.3): the gate puts the 64
 * spaces and the context in front itself, and so signs nothing else. */
struct message_sign {
    uint32_t size; /* 32 or 48 */
    uint8_t hash[48];
};

/* In place of a policy's edition, without a text; real ones are odd (volume_edition). */
#define EDITION_NONE ((uint64_t)0)          /* there is no such volume */
#define EDITION_UNSEALED (UINT64_MAX - 1)   /* it was changed past the broker (daemon/seals.h) */
#define EDITION_UNREADABLE (UINT64_MAX - 3) /* the store did not give it */
static inline bool edition_is_real(uint64_t edition)
{
    return edition != EDITION_NONE && edition != EDITION_UNSEALED && edition != EDITION_UNREADABLE;
}

struct message_policy {
    uint8_t volume[16];
    uint64_t edition;
};

struct message_decision {
    uint8_t readable; /* 1: the request was evidence; 0: the members of evidence are zero */
    uint8_t passed;   /* 1: findings_pass(); else 0 */
    uint8_t zero[6];
    uint8_t request_sha256[32];
    /* of the evidence */
    uint8_t volume[16];
    uint64_t edition;                      /* of the policy that was used, or why there is none */
    uint8_t attester[STORE_ATTESTER_SIZE]; /* SHA-256 of the certificate in the evidence */
    char platform[32];
    uint8_t evidence_sha256[32]; /* of its text by evidence_format, with the challenge */
    uint32_t findings_size;      /* messages_put_findings */
    uint32_t evidence_size;      /* 0: not to be kept */
};

struct message_answer {
    uint32_t status; /* HTTP; the secret only with 200 */
    char code[16];   /* "denied", "pending", "unavailable", ... */
    char id[RELEASE_ID_SIZE];
    uint8_t secret[VOLUME_SECRET_SIZE];
};

struct message_result {
    int32_t code;   /* 0 or a negative errno */
    char text[512]; /* the error's text; no secret in it */
    char hint[256]; /* and what to do; may be empty */
};

/* On whose behalf, for the record. */
struct message_user {
    char name[CHANGE_USER_MAX]; /* not empty; ends in a NUL */
};

struct message_rewrapped {
    uint32_t done, already, failed;
};

enum rewrap_state { REWRAP_NONE, REWRAP_RUNNING, REWRAP_FINISHED, REWRAP_STOPPED };

/* The one that runs, or the last one of this keeper. */
struct message_rewrap {
    uint32_t state;       /* enum rewrap_state; the rest is zero with REWRAP_NONE */
    uint32_t total;       /* volumes that there were when it began */
    int64_t begun, ended; /* times; 0: not yet */
    struct message_rewrapped counts;
    struct message_result why; /* REWRAP_STOPPED: before its end, and for this reason */
    char id[RELEASE_ID_SIZE];  /* of the record of its beginning */
    struct message_user user;
};

/* The end of the audit chain at a time: signed by the broker's key (audit_checkpoint.h). */
struct message_checkpoint {
    uint64_t sequence;
    uint8_t hash[32];
    int64_t time;
};

/*
 * Findings as bytes: how many, is the list incomplete, then verdict, waiver and four texts of each,
 * behind their lengths. Only of those that reject there are more texts than the name, as in the
 * record (broker/audit.h). What does not fit into MESSAGE_FINDINGS_MAX is left out from the end,
 * rejections last, so that the verdict stays what it is.
 */
int messages_put_findings(const struct findings *f, struct buffer *ret,
                          struct error *err) _must_use_;
/* Strict: -EPROTO for anything but what the above makes. `check` names live in `ret_names`, which
 * must outlive the findings; both are empty before. */
int messages_get_findings(struct bytes in, struct findings *ret, struct buffer *ret_names,
                          struct error *err) _must_use_;

/*
 * The body of MESSAGE_DECISION, from a process that hostile evidence may have subverted: -EPROTO
 * for sizes that are not those of the body, members out of their range, a verdict that the findings
 * contradict. `ret_evidence` is borrowed from the body.
 */
int messages_get_decision(struct bytes body, struct message_decision *ret, struct findings *f,
                          struct buffer *ret_names, struct bytes *ret_evidence,
                          struct error *err) _must_use_;

#endif
