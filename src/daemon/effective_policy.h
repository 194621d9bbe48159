/*
 * What guests of one volume are appraised by: the policy that its owner wrote, with every valid
 * version of reference values added to its list "boot" (store/store.h keeps both apart, so that an
 * update of an image changes no policy). Pure: no store, no files.
 */
#ifndef ENCROOT_DAEMON_EFFECTIVE_POLICY_H
#define ENCROOT_DAEMON_EFFECTIVE_POLICY_H

#include "base/json.h"
#include "store/store.h"

/*
 * Appends the text. `policy`: an object as encroot-policy(5) has it, which is not changed. Of
 * `values` those that are valid count.
 *
 * -EINVAL, with what is wrong and a hint: a policy that cannot be read, that names files or another
 * volume than `uuid`, or by which no guest could ever be accepted, or one with an unencrypted root
 * would be; reference values that cannot be read. -EFBIG beyond STORE_POLICY_MAX.
 */
int effective_policy_make(struct buffer *ret, json_t *policy, const uint8_t uuid[16],
                          const struct store_values *values, size_t count,
                          struct error *err) _must_use_;

/* Are these bytes reference values (hash.json)? -EINVAL if not. `name` is used in errors. */
int effective_policy_check_values(struct bytes text, const char *name,
                                  struct error *err) _must_use_;

#endif
