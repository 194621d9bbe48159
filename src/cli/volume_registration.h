/*
 * All that a broker keeps of a volume, as `encroot volume export` writes and POST /v1/volumes
 * takes it: {"version": 1, "uuid", "name", "secret", "policy", "values", ...}. It mostly holds the
 * secret: call admin_wipe_json() before one is made.
 */
#ifndef ENCROOT_CLI_VOLUME_REGISTRATION_H
#define ENCROOT_CLI_VOLUME_REGISTRATION_H

#include "base/secret.h"
#include "cli/admin_client.h"
#include "cli/volume_settings.h"

#define REGISTRATION_MAX ((size_t)64 << 20)
#define HASH_JSON_MAX ((size_t)4 << 20)

/* `policy`: self-contained (cli/policy_embed.h). */
int registration_make(json_t **ret, const char *uuid, const json_t *policy,
                      const struct volume_settings *s, struct error *err) _must_use_;
int registration_set_secret(json_t *registration, const struct secret *secret,
                            struct error *err) _must_use_;
/* Read the reference values of a file as an object; -EINVAL if they are none. */
int registration_read_values(json_t **ret, const char *path, struct error *err) _must_use_;
/* One more version of them; `label` NULL: what the file is called. */
int registration_add_values(json_t *registration, const char *path, const char *label,
                            struct error *err) _must_use_;
/* The file that `volume export` wrote. -EINVAL; -EPERM if it holds a secret that others may read.
 */
int registration_load(json_t **ret, const char *path, struct error *err) _must_use_;
/* -EINVAL if it is none; whether it must, may (-1), must not hold a secret. */
int registration_check(const json_t *registration, int has_secret, const char *name,
                       struct error *err) _must_use_;
/* As it is, or atomically to a file, mode 0600 if it holds a secret. -EEXIST without `replace`. */
int registration_write(const json_t *registration, const char *path, bool replace,
                       struct error *err) _must_use_;
/* POST it. Returns the volume. */
int registration_post(const struct admin_client *c, const json_t *registration, json_t **ret,
                      struct error *err) _must_use_;

#endif
