/*
 * What the administration may ask of the keeper: the keys that seal what it changes (once, when it
 * starts), wrap a new secret, unwrap one for an export, wrap all anew under the present key, sign
 * the end of the audit. Each request is answered before the next is taken. Wrapping all anew is a
 * task that a request begins and others look at: it is done in steps between decisions and
 * requests.
 */
#ifndef ENCROOT_DAEMON_VAULT_SERVICE_H
#define ENCROOT_DAEMON_VAULT_SERVICE_H

#include "daemon/messages.h"

struct vault_service {
    struct store *store;
    const struct kek_ring *ring;
    const struct secret *seals;   /* seal_keys of the ring */
    struct channel *admin, *gate; /* gate: signs checkpoints */
    const char *broker;           /* its name, in records */
    struct message_rewrap rewrap;
    bool begun;        /* rewrapping: `after` is the volume that was last */
    uint8_t after[16]; /* by uuid: one that is renamed meanwhile is not passed over */
    bool signing;      /* `checkpoint`: no request is taken until the gate has answered */
    struct message_checkpoint checkpoint;
};

/* One request, while not signing. Negative errno: it broke the rules, or its sender cannot be
 * answered; what merely failed is told as MESSAGE_RESULT. */
int vault_service_take(struct vault_service *s, const struct frame *f,
                       struct error *err) _must_use_;
/* A few more volumes, while REWRAP_RUNNING. Once the administration is gone this generation ends,
 * and with it the task. */
void vault_service_step(struct vault_service *s);
/* The gate's signature, while signing; empty: it refused, or is gone. */
int vault_service_signed(struct vault_service *s, struct bytes signature,
                         struct error *err) _must_use_;

#endif
