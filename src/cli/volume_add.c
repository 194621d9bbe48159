/* `encroot volume add`: register a volume whose image was made before. */
#include "base/hex.h"
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/policy_embed.h"
#include "cli/volume_registration.h"
#include "cli/volume_view.h"
#include "crypto/volume_key.h"

struct arguments {
    struct admin_options admin;
    struct volume_settings settings;
    const char *uuid, *key, *policy, *label;
    struct option_list values;
};

static int add(const struct arguments *a, const struct admin_client *c, json_t **ret,
               struct error *err)
{
    _secret_ struct secret *secret = NULL;
    _json_ json_t *policy = NULL, *registration = NULL;
    int r = secret_read_file(&secret, a->key, VOLUME_SECRET_SIZE, true, err);
    if (r == 0)
        r = policy_embed(&policy, a->policy, err);
    if (r == 0)
        r = policy_embedded_check(policy, a->uuid, a->policy, err);
    if (r == 0)
        r = registration_make(&registration, a->uuid, policy, &a->settings, err);
    for (size_t i = 0; r == 0 && i < a->values.count; i++)
        r = registration_add_values(registration, a->values.items[i], a->label, err);
    if (r == 0)
        r = registration_set_secret(registration, secret, err);
    return r < 0 ? r : registration_post(c, registration, ret, err);
}

int cmd_volume_add(int argc, char **argv)
{
    struct arguments a = {.admin = ADMIN_OPTIONS_DEFAULT};
    const struct option_spec options[] = {
        {0, "uuid", OPTION_STRING, "UUID", "of the volume: what `encroot image encrypt` printed",
         &a.uuid, 0, 0},
        {'k', "key-file", OPTION_STRING, "FILE", "the volume secret, 32 bytes", &a.key, 0, 0},
        {'p', "policy", OPTION_STRING, "FILE",
         "appraisal policy (encroot policy new); the files that it\nnames are sent with it",
         &a.policy, 0, 0},
        {'f', "hash-file", OPTION_LIST, "FILE",
         "reference values of the image (hash.json), beside those\nin the policy (may be repeated)",
         &a.values, 0, 0},
        {0, "label", OPTION_STRING, "TEXT", "what to call them (default: the file's name)",
         &a.label, 0, 0},
        VOLUME_SETTINGS_SPECS(a.settings),
        ADMIN_OPTION_SPECS(a.admin),
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot volume add --uuid UUID -k FILE -p POLICY [-f hash.json]\n"
                    "                   [OPTION...] [--broker ADDRESS] [--json]",
        .about = "Give a broker the key of a volume whose image was made before, and the policy\n"
                 "by which it is released. `encroot image encrypt --vault` does the same for a\n"
                 "new image.",
        .options = options,
        .example =
            "  encroot volume add --uuid 91ff6f1b-bd8d-854b-9895-3c702895c1f8 --name web-1 \\\n"
            "      -k keys/rootfs_key.bin -p web-1.policy.json -f web-1.hash.json",
    };
    struct admin_client c;
    struct error err = {0};
    uint8_t uuid[16];
    char text[UUID_TEXT_SIZE];
    int code = admin_parse(&u, argc, argv, &a.admin, 0, NULL, NULL, &c);
    if (code != OPTIONS_DONE)
        return code;
    if (!a.uuid || !a.key || !a.policy)
        return usage_error(&u, "%s is missing", !a.uuid ? "--uuid" : !a.key ? "-k" : "-p");
    if (uuid_parse(a.uuid, uuid) < 0)
        return usage_error(&u, "--uuid: \"%s\" is not a UUID", a.uuid);
    uuid_format(uuid, text);
    a.uuid = text;
    admin_wipe_json();
    _json_ json_t *volume = NULL;
    int r = add(&a, &c, &volume, &err);
    if (r < 0)
        return admin_report(&err, r, a.admin.json);
    if (a.admin.json)
        admin_print_json(volume);
    else
        plain_line(stdout, "%s (%s): registered at %s", admin_text(volume, "name"),
                   admin_text(volume, "uuid"), c.address.text);
    return EXIT_OK;
}
