/* `encroot volume enable|disable REF`: whether any guest may get the key at all. */
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/volume_view.h"

static int switch_volume(const struct usage *u, const struct admin_options *o, bool enabled,
                         int argc, char **argv)
{
    struct admin_client c;
    struct error err = {0};
    char **words;
    int code = admin_parse(u, argc, argv, o, 1, "a volume's name or UUID", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    _json_ json_t *volume = NULL;
    _json_ json_t *body = json_pack("{s:b}", "enabled", enabled);
    int r = volume_call(&c, "PATCH", words[0], "", body, &volume, &err);
    if (r < 0)
        return admin_report(&err, r, o->json);
    if (o->json)
        admin_print_json(volume);
    else
        plain_line(stdout, "%s (%s): %s", admin_text(volume, "name"), admin_text(volume, "uuid"),
                   enabled ? "enabled" : "disabled: every guest that asks for its key is refused");
    return EXIT_OK;
}

int cmd_volume_enable(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    const struct option_spec options[] = {ADMIN_OPTION_SPECS(o), {0}};
    const struct usage u = {
        .synopsis = "encroot volume enable VOLUME [--broker ADDRESS] [--json]",
        .about = "Release the key of this volume again to guests that its policy accepts.",
        .options = options,
        .example = "  encroot volume enable web-1",
    };
    return switch_volume(&u, &o, true, argc, argv);
}

int cmd_volume_disable(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    const struct option_spec options[] = {ADMIN_OPTION_SPECS(o), {0}};
    const struct usage u = {
        .synopsis = "encroot volume disable VOLUME [--broker ADDRESS] [--json]",
        .about = "Release the key of this volume to nobody until `encroot volume enable`. A guest\n"
                 "that runs keeps running; its next boot is refused, and the audit says why.",
        .options = options,
        .example = "  encroot volume disable web-1",
    };
    return switch_volume(&u, &o, false, argc, argv);
}
