/* What a volume's owner and operators have to say to one decision. For decide.c. */
#ifndef ENCROOT_DAEMON_DECIDE_VOLUME_H
#define ENCROOT_DAEMON_DECIDE_VOLUME_H

#include "daemon/decide.h"

/* Inside a transaction. Sets outcome, name and secret, and adds what rejects to the findings.
 * Negative errno: the store failed. */
int decide_volume(const struct decider *d, struct decision_case *c, time_t now,
                  struct error *err) _must_use_;

/*
 * What the volume's present policy is called by: another number after each change, and another one
 * for a volume that was removed and made anew under its old UUID, whose revisions begin anew, too.
 * Never 0.
 */
int volume_edition(const struct store_volume *v, uint64_t *ret, struct error *err) _must_use_;

#endif
