/* `encroot volume show REF`. */
#include "cli/command.h"
#include "cli/volume_view.h"

int cmd_volume_show(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    const struct option_spec options[] = {ADMIN_OPTION_SPECS(o), {0}};
    const struct usage u = {
        .synopsis = "encroot volume show VOLUME [--broker ADDRESS] [--json]",
        .about = "Show a volume (its name or UUID): state, limits, and the versions of its\n"
                 "reference values. What guests must prove is in its policy: encroot volume\n"
                 "policy. Keys are never shown.",
        .options = options,
        .example = "  encroot volume show web-1",
    };
    struct admin_client c;
    struct error err = {0};
    char **words;
    int code = admin_parse(&u, argc, argv, &o, 1, "a volume's name or UUID", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    _json_ json_t *volume = NULL;
    int r = volume_call(&c, "GET", words[0], "", NULL, &volume, &err);
    if (r == 0 && o.json)
        admin_print_json(volume);
    else if (r == 0)
        r = volume_print(volume, &err);
    return r < 0 ? admin_report(&err, r, o.json) : EXIT_OK;
}
