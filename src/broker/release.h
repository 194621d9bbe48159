/*
 * The release handler: the whole of the broker's answer to POST /v1/release (protocol/release.h).
 * It knows nothing of sockets, of TLS or of who opened the connection: `encroot unlock` runs it
 * for one outgoing connection, a broker for many incoming ones.
 *
 *   evidence → challenge from the exporter → appraise → secret → record → answer
 *
 * What could not be recorded is not released.
 */
#ifndef ENCROOT_BROKER_RELEASE_H
#define ENCROOT_BROKER_RELEASE_H

#include "appraise/appraise.h"
#include "base/secret.h"
#include "protocol/channel.h"

#define RELEASE_ID_SIZE 33 /* 128 random bits as hex, NUL */

struct release_record {
    const char *id;
    struct bytes request;            /* the body, as it came */
    const struct evidence *evidence; /* with its challenge; NULL when it could not be read */
    const struct findings *findings; /* at least one that rejects, unless granted */
    bool granted;
};

/*
 * evidence->volume is the guest's word: no signature covers it. So a guest that passes `policy`
 * gets the secret of any volume that `secret` will give under this context. Who keeps several
 * volumes must therefore tie them together: `volume` set, and `policy` that volume's own. `volume`
 * may be NULL only where one policy and one secret belong to each other whatever the guest calls
 * it, as in `encroot unlock`, whose operator names both.
 */
struct release_context {
    const struct appraisal_policy *policy;
    const uint8_t *volume; /* 16 bytes: this one only; NULL: see above */
    /* The secret of a volume, asked for only after a passing verdict. VOLUME_SECRET_SIZE bytes. */
    int (*secret)(void *arg, const uint8_t volume[16], struct secret **ret, struct error *err);
    /*
     * Make every decision durable before anything leaves: grants, denials (good evidence for a
     * volume without a secret is one), and requests that hold no readable evidence. A failure turns
     * any of them into 503.
     */
    int (*record)(void *arg, const struct release_record *r, struct error *err);
    void *arg;
};

struct release_answer {
    int status;            /* HTTP */
    struct secret *secret; /* 200 only: the body; owned */
    char body[128];        /* otherwise: {"code": "...", "id": "..."}, nothing else (K4) */
    char id[RELEASE_ID_SIZE];
};

/*
 * Always fills `ret`. Returns 0 when a decision was made (granted or denied), else a negative
 * errno, with `err` for the operator; the peer sees only ret->body.
 */
int release_handle(const struct release_context *c, struct bytes request,
                   const uint8_t exporter[CHANNEL_EXPORTER_SIZE], struct release_answer *ret,
                   struct error *err) _must_use_;
void release_answer_free(struct release_answer *a);
#define _release_answer_ _cleanup_(release_answer_free)

/*
 * The two halves of a verdict, for who decides elsewhere. A request is evidence, and its challenge
 * becomes that of this connection; where it is none, `f` gets a rejection. Without one a failure is
 * of this side.
 */
int release_read(struct evidence *ret, struct bytes request,
                 const uint8_t exporter[CHANNEL_EXPORTER_SIZE], struct findings *f,
                 struct error *err) _must_use_;
/* appraise(), and is the evidence that of `volume`? NULL: see struct release_context. */
int release_appraise(const struct evidence *e, const uint8_t *volume,
                     const struct appraisal_policy *policy, struct findings *f,
                     struct error *err) _must_use_;

/* A correlation id: 128 random bits. */
int release_make_id(char ret[RELEASE_ID_SIZE], struct error *err) _must_use_;
/* A new answer: a correlation id, and 503 until something else is decided. */
int release_answer_begin(struct release_answer *ret, struct error *err) _must_use_;
/* An answer that says no: status, code and id only. */
void release_answer_refuse(struct release_answer *a, int status, const char *code);

#endif
