/* `encroot volume set REF`: name, approval and limits. */
#include "cli/command.h"
#include "cli/volume_settings.h"
#include "cli/volume_view.h"

int cmd_volume_set(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    struct volume_settings s = {0};
    bool unlimited = false;
    const struct option_spec options[] = {
        VOLUME_SETTINGS_SPECS(s),
        {0, "no-limit", OPTION_FLAG, NULL, "no rate and no window, where not given beside it",
         &unlimited, 0, 0},
        ADMIN_OPTION_SPECS(o),
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot volume set VOLUME [--name NAME] [--approval auto|manual]\n"
                    "                   [--rate N/PERIOD] [--not-before TIME] [--not-after TIME]\n"
                    "                   [--no-limit] [--broker ADDRESS] [--json]",
        .about = "Change what a volume (its name or UUID) is called, and when its key may be\n"
                 "released. Limits come on top of the policy: they never let in what it refuses.\n"
                 "A limit is taken away by the word none.",
        .options = options,
        .example = "  encroot volume set web-1 --rate 3/1h --not-after 2027-01-31\n"
                   "  encroot volume set web-1 --approval manual --rate none",
    };
    struct admin_client c;
    struct error err = {0};
    char **words;
    int code = admin_parse(&u, argc, argv, &o, 1, "a volume's name or UUID", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    _json_ json_t *body = json_object(), *volume = NULL;
    int r = body ? 0 : error_set(&err, ENOMEM, "out of memory");
    if (r == 0 && unlimited)
        volume_settings_unlimited(&s);
    if (r == 0)
        r = volume_settings_put(&s, body, &err);
    if (r < 0)
        return report_error(&err, EXIT_USAGE, o.json);
    if (json_object_size(body) == 0)
        return usage_error(&u, "nothing to set");
    r = volume_call(&c, "PATCH", words[0], "", body, &volume, &err);
    if (r == 0 && o.json)
        admin_print_json(volume);
    else if (r == 0)
        r = volume_print(volume, &err);
    return r < 0 ? admin_report(&err, r, o.json) : EXIT_OK;
}
