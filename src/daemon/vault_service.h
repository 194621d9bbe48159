/*
 * What the administration may ask of the keeper: the keys that seal what it changes (once, when it
 * starts), wrap a new secret, unwrap one for an export, wrap
 * all anew under the present key, sign the end of the audit. One thing at a time; what takes long
 * is done in steps between decisions.
 */
#ifndef ENCROOT_DAEMON_VAULT_SERVICE_H
#define ENCROOT_DAEMON_VAULT_SERVICE_H

#include "daemon/messages.h"

enum vault_task { VAULT_IDLE, VAULT_REWRAPPING, VAULT_SIGNING };

struct vault_service {
    struct store *store;
    const struct kek_ring *ring;
    const struct secret *seals;   /* seal_keys of the ring */
    struct channel *admin, *gate; /* gate: signs checkpoints */
    enum vault_task task;         /* while it is not idle no request is taken */
    const char *broker;           /* its name, in records */
    struct message_rewrapped done;
    struct change rewrapping; /* on whose behalf */
    bool begun;               /* rewrapping: `after` is the volume that was last */
    uint8_t after[16];        /* by uuid: one that is renamed meanwhile is not passed over */
    struct message_checkpoint checkpoint;
};

/* One request, while idle. Negative errno: it broke the rules, or its sender cannot be answered;
 * what merely failed is told as MESSAGE_RESULT. */
int vault_service_take(struct vault_service *s, const struct frame *f,
                       struct error *err) _must_use_;
/* A few more volumes, while VAULT_REWRAPPING. */
int vault_service_step(struct vault_service *s, struct error *err) _must_use_;
/* The gate's signature, while VAULT_SIGNING; empty: it refused, or is gone. */
int vault_service_signed(struct vault_service *s, struct bytes signature,
                         struct error *err) _must_use_;

#endif
