/*
 * Reading a policy: where one is in it, and the readers that its parts share. Internal to
 * policy_*.c.
 */
#ifndef ENCROOT_APPRAISE_POLICY_PARSER_H
#define ENCROOT_APPRAISE_POLICY_PARSER_H

#include "appraise/policy.h"
#include "base/json.h"

#define POLICY_WHERE_MAX 320

struct policy_parser {
    struct policy *policy;
    const char *folder;           /* NULL: no files */
    char where[POLICY_WHERE_MAX]; /* "policy.json: platform" */
    struct error *err;
};

int policy_no_memory(struct policy_parser *p);

/* ---- lists: a member that may be absent leaves the output as it is ---- */

enum value_kind {
    VALUE_TEXT,
    VALUE_HEX,    /* 1 to 64 bytes */
    VALUE_SHA256, /* 32 bytes of hex */
    VALUE_LIFECYCLE,
};

struct list_member {
    const char *key;
    enum value_kind kind;
    size_t offset; /* of the struct value_set */
};

/* NULL in *ret if it is absent. */
int policy_get_list(struct policy_parser *p, json_t *object, const char *key, size_t max,
                    json_t **ret) _must_use_;
/* One list into the value set at its offset in `to`; or all of a table that ends with key NULL. */
int policy_read_values(struct policy_parser *p, json_t *object, const struct list_member *m,
                       void *to) _must_use_;
int policy_read_value_sets(struct policy_parser *p, json_t *object, const struct list_member *m,
                           void *to) _must_use_;
int policy_read_digests(struct policy_parser *p, json_t *root, const char *key,
                        const struct digest **ret, size_t *ret_count) _must_use_;

/* ---- other members ---- */

/* The object `key` with no member but the `known`; NULL if it is absent. `inner` reads below it. */
int policy_get_object(struct policy_parser *p, json_t *parent, const char *key,
                      const char *const known[], json_t **ret,
                      struct policy_parser *inner) _must_use_;
/* One of two words, true for the second; absent: the first. */
int policy_read_choice(struct policy_parser *p, json_t *object, const char *key, const char *first,
                       const char *second, bool *ret) _must_use_;
/* A file that the policy names. */
int policy_read_file(struct policy_parser *p, const char *name, size_t max,
                     struct buffer *ret) _must_use_;

/* policy_trust.c */
int policy_read_trust(struct policy_parser *outer, json_t *root) _must_use_;

#endif
