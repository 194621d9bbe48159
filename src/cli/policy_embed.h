/* A policy that is one text: what a broker keeps, where no folder is behind it. */
#ifndef ENCROOT_CLI_POLICY_EMBED_H
#define ENCROOT_CLI_POLICY_EMBED_H

#include "base/json.h"

/*
 * The policy of a file (encroot-policy(5)) with the content of every file that it names in the
 * place of the name. It can be read (policy_parse without a folder), and accepts no boot without
 * an encrypted root. -EINVAL; the errors of the files.
 */
int policy_embed(json_t **ret, const char *path, struct error *err) _must_use_;
/* Can it be read without a folder, and is its volume `uuid` or none? `name` is used in errors. */
int policy_embedded_check(const json_t *policy, const char *uuid, const char *name,
                          struct error *err) _must_use_;

#endif
