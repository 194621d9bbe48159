/* `encroot volume export REF`: all that the broker keeps of a volume. */
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/volume_registration.h"
#include "cli/volume_view.h"

#include <string.h>

struct arguments {
    struct admin_options admin;
    const char *output;
    bool secret, force;
};

static int export(const struct arguments *a, const struct admin_client *c, const char *ref,
                  struct error *err)
{
    _json_ json_t *answer = NULL;
    _free_ char *path = admin_path("/v1/volumes/", ref, a->secret ? "/export?secret=1" : "/export");
    if (!path)
        return error_set(err, ENOMEM, "out of memory");
    int r = admin_call(c, "GET", path, NULL, &answer, err);
    if (r == 0 && registration_check(answer, a->secret, "the broker's answer", err) < 0)
        r = -EPROTO;
    if (r < 0)
        return r;
    if (!a->output) {
        admin_print_json(answer);
        return 0;
    }
    r = registration_write(answer, a->output, a->force, err);
    if (r == 0 && !a->admin.json)
        plain_line(stdout, "%s: volume %s%s", a->output, admin_text(answer, "uuid"),
                   a->secret ? ", with its key: keep it as you would keep the key"
                             : ", without its key");
    return r;
}

int cmd_volume_export(int argc, char **argv)
{
    struct arguments a = {.admin = ADMIN_OPTIONS_DEFAULT};
    const struct option_spec options[] = {
        {'o', "output", OPTION_STRING, "FILE", "where to (default: stdout)", &a.output, 0, 0},
        {0, "with-secret", OPTION_FLAG, NULL,
         "the volume's key too: FILE is then readable by its\nowner only (mode 0600)", &a.secret, 0,
         0},
        {0, "force", OPTION_FLAG, NULL, "replace an existing FILE", &a.force, 0, 0},
        ADMIN_OPTION_SPECS(a.admin),
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot volume export VOLUME [-o FILE [--force]] [--with-secret]\n"
                    "                             [--broker ADDRESS] [--json]",
        .about = "Write all that the broker keeps of a volume (its name or UUID) as one JSON\n"
                 "object: settings, policy, every version of its reference values and, only with\n"
                 "--with-secret, the key. `encroot volume import` takes it, at the same broker or\n"
                 "another.",
        .options = options,
        .example = "  encroot volume export web-1 --with-secret -o web-1.volume.json",
    };
    struct admin_client c;
    struct error err = {0};
    char **words;
    int code = admin_parse(&u, argc, argv, &a.admin, 1, "a volume's name or UUID", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    if (a.secret && !a.output && isatty(STDOUT_FILENO))
        return usage_error(&u, "--with-secret shows a key on no terminal: -o FILE is needed");
    admin_wipe_json();
    int r = export(&a, &c, words[0], &err);
    return r < 0 ? admin_report(&err, r, a.admin.json) : EXIT_OK;
}
