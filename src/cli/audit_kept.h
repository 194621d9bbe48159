/* One record of a broker, and what its evidence, if it is still kept, shows under the policy that
 * is in force now. */
#ifndef ENCROOT_CLI_AUDIT_KEPT_H
#define ENCROOT_CLI_AUDIT_KEPT_H

#include "base/findings.h"
#include "broker/audit.h"
#include "cli/admin_client.h"

struct audit_kept {
    struct audit_record record; /* its hash is that of its content */
    json_t *evidence;           /* NULL: not kept, or not any more */
    /* the appraisal, if `appraised` */
    bool appraised;
    uint64_t revision; /* of the policy */
    struct findings findings;
    char why_not[256]; /* else */
};

int audit_kept_get(struct audit_kept *ret, const struct admin_client *c, const char *id,
                   struct error *err) _must_use_;
/* {"record", "evidence", "appraisal"}: a new reference; NULL without memory. */
json_t *audit_kept_json(const struct audit_kept *k);
/* What follows the record, for people. */
void audit_kept_print(const struct audit_kept *k);
void audit_kept_free(struct audit_kept *k);
#define _audit_kept_ _cleanup_(audit_kept_free)

#endif
