/* A volume as the administration of a broker describes it, for people. */
#ifndef ENCROOT_CLI_VOLUME_VIEW_H
#define ENCROOT_CLI_VOLUME_VIEW_H

#include "cli/admin_options.h"
#include "cli/table.h"

/* -EPROTO unless it has what every volume has, of the right types. */
int volume_check(const json_t *volume, struct error *err) _must_use_;
/* Of any answer about a volume: it was changed past its broker, which tells so. */
bool volume_is_unsealed(const json_t *answer);
/* On stderr, for whoever goes by what is printed of it. */
void volume_warn_unsealed(const char *ref, const json_t *answer);
/* A line of the table whose heads are volume_heads. */
extern const char *const volume_heads[];
void volume_line(struct table *t, const json_t *volume);
/* All of it. -ENOMEM. */
int volume_print(const json_t *volume, struct error *err) _must_use_;
/* The versions of its reference values as a table. -ENOMEM. */
int volume_print_values(const json_t *values, struct error *err) _must_use_;
/* "5/1h"; "" without a limit. */
void volume_rate(const json_t *volume, char *ret, size_t size);

/* "/v1/volumes/REF" with `behind` after it; the answer must be a volume. */
int volume_call(const struct admin_client *c, const char *method, const char *ref,
                const char *behind, const json_t *body, json_t **ret, struct error *err) _must_use_;

#endif
