/* `encroot volume seal REF --yes`: take a volume over that was changed past its broker. */
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/volume_view.h"

int cmd_volume_seal(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    bool yes = false;
    const struct option_spec options[] = {
        {0, "yes", OPTION_FLAG, NULL, "do it: what is there now is what guests are released by",
         &yes, 0, 0},
        ADMIN_OPTION_SPECS(o),
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot volume seal VOLUME --yes [--broker ADDRESS] [--json]",
        .about =
            "A broker seals the settings, policy and reference values of each volume with a\n"
            "key that is not in its database. A volume that was changed there past the broker\n"
            "is \"unsealed\": nothing of it is released or exported, nor made of its policy and\n"
            "values. This command takes such a volume (its name or UUID) over as it is now. Look\n"
            "at it first, and again after: whoever changed it may have let in guests of theirs.",
        .options = options,
        .example = "  encroot volume show web-1\n"
                   "  encroot volume policy web-1 --effective\n"
                   "  encroot volume seal web-1 --yes",
    };
    struct admin_client c;
    struct error err = {0};
    char **words;
    int code = admin_parse(&u, argc, argv, &o, 1, "a volume's name or UUID", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    _json_ json_t *volume = NULL, *sealed = NULL;
    int r = volume_call(&c, "GET", words[0], "", NULL, &volume, &err);
    const char *uuid = admin_text(volume, "uuid");
    if (r == 0 && !yes) {
        error_set(&err, EINVAL, "%s (%s): %s", admin_text(volume, "name"), uuid,
                  volume_is_unsealed(volume)
                      ? "guests would be released by what somebody else wrote into the database"
                      : "is sealed: nobody changed it past the broker");
        error_hint(&err, -EINVAL,
                   "`encroot volume show` and `encroot volume policy` show it; "
                   "--yes takes it over as it is");
        return report_error(&err, EXIT_USAGE, o.json);
    }
    _json_ json_t *body = json_object();
    if (r == 0)
        r = volume_call(&c, "POST", uuid, "/seal", body, &sealed, &err);
    if (r < 0)
        return admin_report(&err, r, o.json);
    if (o.json)
        admin_print_json(sealed);
    else
        plain_line(stdout, "%s (%s): sealed as it is, revision %lld", admin_text(sealed, "name"),
                   uuid, (long long)admin_number(sealed, "revision"));
    return EXIT_OK;
}
