/*
 * What is recorded when somebody changes what is decided by, or takes a secret out: the records of
 * the audit that are no decisions. What cannot be recorded is not done.
 */
#ifndef ENCROOT_DAEMON_CHANGE_H
#define ENCROOT_DAEMON_CHANGE_H

#include "broker/release.h"
#include "store/store.h"

#define CHANGE_USER_MAX 128
#define CHANGE_DETAIL_MAX 512

enum change_action {
    CHANGE_NONE,
    CHANGE_VOLUME_ADD,
    CHANGE_VOLUME_SET,
    CHANGE_VOLUME_REMOVE,
    CHANGE_VOLUME_SEAL,
    CHANGE_SECRET_EXPORT,
    CHANGE_POLICY_SET,
    CHANGE_VALUES_ADD,
    CHANGE_VALUES_ENABLE,
    CHANGE_VALUES_DISABLE,
    CHANGE_REQUEST_APPROVE,
    CHANGE_REQUEST_DENY,
    CHANGE_VAULT_REWRAP,
    CHANGE_VAULT_REWRAPPED,
    CHANGE_VAULT_STOPPED,
    CHANGE_ACTIONS
};

struct change {
    enum change_action action; /* CHANGE_NONE: nothing was changed */
    char user[CHANGE_USER_MAX];
    bool has_volume;
    uint8_t volume[16];
    char detail[CHANGE_DETAIL_MAX]; /* may be empty; no secret in it */
    /* once it is recorded */
    char id[RELEASE_ID_SIZE];
    uint64_t sequence;
};

/* `volume`: NULL, or its uuid. What of the detail has no room is left out. */
__attribute__((format(printf, 4, 5))) void change_note(struct change *c, enum change_action action,
                                                       const uint8_t volume[16], const char *format,
                                                       ...);
/* The next record of the chain, inside of a transaction that the change is made in. */
int change_record(struct change *c, struct store *s, const char *broker, time_t now,
                  struct error *err) _must_use_;
/* Once that is durable: one line in the log. */
void change_tell(const struct change *c);

#endif
