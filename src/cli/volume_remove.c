/* `encroot volume remove REF --yes`. */
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/volume_view.h"

static int remove_volume(const struct admin_client *c, const char *uuid, struct error *err)
{
    _free_ char *path = admin_path("/v1/volumes/", uuid, "");
    return path ? admin_call(c, "DELETE", path, NULL, NULL, err)
                : error_set(err, ENOMEM, "out of memory");
}

int cmd_volume_remove(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    bool yes = false;
    const struct option_spec options[] = {
        {0, "yes", OPTION_FLAG, NULL, "do it: there is no way back", &yes, 0, 0},
        ADMIN_OPTION_SPECS(o),
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot volume remove VOLUME --yes [--broker ADDRESS] [--json]",
        .about = "Remove a volume (its name or UUID) with key, policy and reference values from\n"
                 "the broker. If no other copy of the key exists, the data of the volume is lost:\n"
                 "`encroot volume export --with-secret` makes one. To stop releases for a while,\n"
                 "use `encroot volume disable`. The audit keeps what was decided.",
        .options = options,
        .example = "  encroot volume export web-1 --with-secret -o web-1.volume.json\n"
                   "  encroot volume remove web-1 --yes",
    };
    struct admin_client c;
    struct error err = {0};
    char **words;
    int code = admin_parse(&u, argc, argv, &o, 1, "a volume's name or UUID", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    _json_ json_t *volume = NULL;
    int r = volume_call(&c, "GET", words[0], "", NULL, &volume, &err);
    const char *uuid = admin_text(volume, "uuid");
    if (r == 0 && !yes) {
        error_set(&err, EINVAL, "%s (%s): removing it makes the broker forget its key",
                  admin_text(volume, "name"), uuid);
        error_hint(&err, -EINVAL,
                   "--yes does it; `encroot volume export --with-secret` first "
                   "makes a copy");
        return report_error(&err, EXIT_USAGE, o.json);
    }
    if (r == 0)
        r = remove_volume(&c, uuid, &err); /* that one, whatever is called so by now */
    if (r < 0)
        return admin_report(&err, r, o.json);
    if (o.json) {
        _json_ json_t *j =
            json_pack("{s:s, s:s}", "removed", uuid, "name", admin_text(volume, "name"));
        admin_print_json(j);
    } else {
        plain_line(stdout, "%s (%s): removed", admin_text(volume, "name"), uuid);
    }
    return EXIT_OK;
}
