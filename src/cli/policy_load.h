/* The appraisal policy that a command line describes: --policy, or -m, -f and -d. */
#ifndef ENCROOT_CLI_POLICY_LOAD_H
#define ENCROOT_CLI_POLICY_LOAD_H

#include "appraise/policy.h"
#include "cli/options.h"

struct policy_options {
    const char *file;        /* --policy */
    struct option_list rims; /* -m: hexadecimal in either case, 32, 48 or 64 bytes each */
    const char *hash_json;   /* -f: file of reference values */
    const char *folder;      /* -d: as `encroot init` makes it, of which trust/ is read */
};

/* Lines of an option table, for a command that appraises. */
#define POLICY_OPTION_SPECS(o)                                                                     \
    {0,                                                                                            \
     "policy",                                                                                     \
     OPTION_STRING,                                                                                \
     "FILE",                                                                                       \
     "appraisal policy (encroot-policy(5)), in the place of -m and -f",                            \
     &(o).file,                                                                                    \
     0,                                                                                            \
     0},                                                                                           \
        {'m',                                                                                      \
         "rim",                                                                                    \
         OPTION_LIST,                                                                              \
         "RIM",                                                                                    \
         "accepted initial measurement, hexadecimal (may be repeated)",                            \
         &(o).rims,                                                                                \
         0,                                                                                        \
         0},                                                                                       \
    {                                                                                              \
        'f', "hash-file", OPTION_STRING, "FILE", "reference values of the image (hash.json)",      \
            &(o).hash_json, 0, 0                                                                   \
    }

/* NULL if the options say enough and not too much, else what is wrong with them. */
const char *policy_options_problem(const struct policy_options *o);
int policy_load(struct policy **ret, const struct policy_options *o, struct error *err) _must_use_;
/* -EINVAL for a policy that would accept a boot whose root is not encrypted. */
int policy_refuse_plain(const struct policy *p, const char *name, struct error *err) _must_use_;
/* For a command whose one operand is a policy file: parse the options and load it. Returns
 * OPTIONS_DONE, or an exit code to return at once. `json` is where --json goes. */
int policy_operand(const struct usage *u, int argc, char **argv, const bool *json,
                   struct policy **ret);
/* The trust anchors of a folder that `encroot init` made. */
int policy_load_anchors(struct trust_anchors **ret, const char *folder,
                        struct error *err) _must_use_;

#endif
