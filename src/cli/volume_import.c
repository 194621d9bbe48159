/* `encroot volume import FILE`. */
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/volume_registration.h"
#include "cli/volume_view.h"
#include "crypto/volume_key.h"

#include <string.h>

struct arguments {
    struct admin_options admin;
    const char *key;
    struct volume_settings settings;
};

static int complete(const struct arguments *a, const char *path, json_t *j, struct error *err)
{
    _secret_ struct secret *secret = NULL;
    bool there = json_object_get(j, "secret") != NULL;
    if (!there && !a->key)
        return error_hint(err, error_set(err, EINVAL, "%s: was exported without the key", path),
                          "-k FILE gives it: 32 bytes");
    if (there && a->key)
        return error_set(err, EINVAL, "%s: holds the key already; -k FILE is for those that do not",
                         path);
    int r = a->key ? secret_read_file(&secret, a->key, VOLUME_SECRET_SIZE, true, err) : 0;
    if (r == 0 && a->key)
        r = registration_set_secret(j, secret, err);
    return r < 0 ? r : volume_settings_put(&a->settings, j, err);
}

int cmd_volume_import(int argc, char **argv)
{
    struct arguments a = {.admin = ADMIN_OPTIONS_DEFAULT};
    const struct option_spec options[] = {
        {'k', "key-file", OPTION_STRING, "FILE",
         "the volume secret, 32 bytes, if it was exported without", &a.key, 0, 0},
        VOLUME_NAME_SPECS(a.settings),
        ADMIN_OPTION_SPECS(a.admin),
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot volume import FILE [-k FILE] [--name NAME] [--approval auto|manual]\n"
                    "                           [--broker ADDRESS] [--json]",
        .about = "Register a volume from what `encroot volume export` wrote, or from what\n"
                 "`encroot image encrypt --vault` left when the broker could not take it. A\n"
                 "volume that is there already is not changed: exit status 1.",
        .options = options,
        .example = "  encroot volume import web-1.volume.json",
    };
    struct admin_client c;
    struct error err = {0};
    char **words;
    int code = admin_parse(&u, argc, argv, &a.admin, 1, "one file", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    admin_wipe_json();
    _json_ json_t *registration = NULL, *volume = NULL;
    int r = registration_load(&registration, words[0], &err);
    if (r == 0)
        r = complete(&a, words[0], registration, &err);
    if (r == 0)
        r = registration_post(&c, registration, &volume, &err);
    if (r < 0)
        return admin_report(&err, r, a.admin.json);
    if (a.admin.json)
        admin_print_json(volume);
    else
        plain_line(stdout, "%s (%s): registered at %s", admin_text(volume, "name"),
                   admin_text(volume, "uuid"), c.address.text);
    return EXIT_OK;
}
