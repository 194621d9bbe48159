/* Small helpers over jansson: typed, required members with errors that name the path. */
#ifndef ENCROOT_BASE_JSON_H
#define ENCROOT_BASE_JSON_H

#include "base/bytes.h"
#include "base/error.h"

#include <jansson.h>

static inline void cleanup_json(json_t **j)
{
    json_decref(*j);
}
#define _json_ _cleanup_(cleanup_json)

/*
 * Parse text strictly: duplicate members, trailing bytes and NUL characters are errors; the
 * error has line and column. `name` is used in errors. Returns a new reference.
 */
int json_parse(json_t **ret, struct bytes text, const char *name, struct error *err) _must_use_;

/*
 * Members of an object. `where` names the object in errors ("agent.json: volume"). A missing or
 * mistyped member is -EINVAL. Returned strings are borrowed from the object.
 */
int json_get_string(const json_t *object, const char *key, const char **ret, const char *where,
                    struct error *err) _must_use_;
int json_get_uint(const json_t *object, const char *key, uint64_t max, uint64_t *ret,
                  const char *where, struct error *err) _must_use_;
int json_get_bool(const json_t *object, const char *key, bool *ret, const char *where,
                  struct error *err) _must_use_;
int json_get_object(json_t *object, const char *key, json_t **ret, const char *where,
                    struct error *err) _must_use_;
int json_get_array(json_t *object, const char *key, json_t **ret, const char *where,
                   struct error *err) _must_use_;
/* A string member of exactly 2·size hex digits. */
int json_get_hex(const json_t *object, const char *key, uint8_t *ret, size_t size,
                 const char *where, struct error *err) _must_use_;
/* Unknown members are errors: `known` is a NULL-terminated list of all allowed keys. */
int json_only_keys(json_t *object, const char *const known[], const char *where,
                   struct error *err) _must_use_;

/* A string whatever the text holds, which others may have written: what is not UTF-8 becomes \xNN.
 * A new reference; NULL without memory. */
json_t *plain_json(const char *text);

#endif
