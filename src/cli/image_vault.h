/* `encroot image encrypt --vault`: the new image's volume goes to a broker in the same step. */
#ifndef ENCROOT_CLI_IMAGE_VAULT_H
#define ENCROOT_CLI_IMAGE_VAULT_H

#include "base/secret.h"
#include "cli/admin_options.h"
#include "cli/volume_settings.h"

struct vault_options {
    struct admin_options admin; /* admin.broker NULL: no --vault */
    struct volume_settings settings;
    const char *policy;      /* --policy */
    struct option_list rims; /* or -m */
    bool no_key_file;
};

#define VAULT_OPTION_SPECS(v)                                                                      \
    ADMIN_REACH_SPECS((v).admin, "vault",                                                          \
                      "register the volume at this broker: its key, policy and\n"                  \
                      "reference values; unix:PATH or https://HOST:PORT\n"                         \
                      "(default: $ENCROOT_BROKER, else\n" ADMIN_ADDRESS_DEFAULT ")"),              \
        {0,                                                                                        \
         "policy",                                                                                 \
         OPTION_STRING,                                                                            \
         "FILE",                                                                                   \
         "with --vault: by this policy (encroot-policy(5)); the\nfiles that it names are sent "    \
         "with it",                                                                                \
         &(v).policy,                                                                              \
         0,                                                                                        \
         0},                                                                                       \
        {'m',                                                                                      \
         "rim",                                                                                    \
         OPTION_LIST,                                                                              \
         "RIM",                                                                                    \
         "or by one that accepts this initial measurement and the\ntrust anchors of DIR (may be "  \
         "repeated)",                                                                              \
         &(v).rims,                                                                                \
         0,                                                                                        \
         0},                                                                                       \
        VOLUME_NAME_SPECS((v).settings),                                                           \
    {                                                                                              \
        0, "no-key-file", OPTION_FLAG, NULL,                                                       \
            "with --vault: a new key, which only the broker keeps", &(v).no_key_file, 0, 0         \
    }

struct image_vault {
    struct admin_client client;
    json_t *policy;
    json_t *registration;
    char *rescue;      /* where the registration goes if the broker does not take it */
    bool only_copy;    /* of the key */
    const char *image; /* borrowed */
};
void image_vault_free(struct image_vault *v);
#define _image_vault_ _cleanup_(image_vault_free)

/* NULL if the options say enough and not too much, else what is wrong with them. */
const char *vault_options_problem(const struct vault_options *o, const char *key_file);

/*
 * Before the work: is there a broker, may this user register volumes there, can the policy be
 * read? `folder`: of the trust anchors. `image`: the output.
 */
int image_vault_open(struct image_vault *ret, const struct vault_options *o, const char *folder,
                     const char *image, struct error *err) _must_use_;
/* Once the volume is known: is the policy for it, is it not there yet, nor another of its name? */
int image_vault_prepare(struct image_vault *v, const struct vault_options *o,
                        const uint8_t uuid[16], const struct secret *secret,
                        struct error *err) _must_use_;
/*
 * Once the image is whole. On failure all that is needed to register it later is in the file
 * v->rescue (mode 0600), and the error says by which command. Adds the member "vault" to
 * `report`, if there is one, in both cases.
 */
int image_vault_register(struct image_vault *v, const char *hash_json, json_t *report,
                         struct error *err) _must_use_;

#endif
