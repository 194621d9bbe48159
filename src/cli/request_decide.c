/* `encroot request approve|deny ID`. */
#include "cli/admin_options.h"
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/when.h"

static int decide(const struct usage *u, const struct admin_options *o, const char *verb,
                  const char *outcome, int argc, char **argv)
{
    struct admin_client c;
    struct error err = {0};
    char **words, behind[16], when[WHEN_TEXT_SIZE];
    int code = admin_parse(u, argc, argv, o, 1, "the id of a request", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    snprintf(behind, sizeof(behind), "/%s", verb);
    _free_ char *path = admin_path("/v1/requests/", words[0], behind);
    _json_ json_t *body = json_object(), *q = NULL;
    int r = path && body ? admin_call(&c, "POST", path, body, &q, &err)
                         : error_set(&err, ENOMEM, "out of memory");
    if (r == 0 && !json_is_object(q))
        r = error_set(&err, EPROTO, "the broker's answer is not a request");
    if (r == -ENOENT && !err.hint[0])
        error_hint(&err, r, "`encroot request list` lists those that wait");
    if (r < 0)
        return admin_report(&err, r, o->json);
    if (o->json)
        admin_print_json(q);
    else
        plain_line(stdout, "%s: %s, until %s", words[0], outcome,
                   when_local(admin_text(q, "expires"), when));
    return EXIT_OK;
}

int cmd_request_approve(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    const struct option_spec options[] = {ADMIN_OPTION_SPECS(o), {0}};
    const struct usage u = {
        .synopsis = "encroot request approve ID [--broker ADDRESS] [--json]",
        .about = "Let the machine that waits under this id have the key once: its next attempt\n"
                 "gets it, if its evidence still passes by then. The approval expires\n"
                 "(approval-seconds in encrootd.conf(5)).",
        .options = options,
        .example = "  encroot request approve 0f5c6a7e8b9d4c3f2a1b0c9d8e7f6a5b",
    };
    return decide(&u, &o, "approve", "approved for one release", argc, argv);
}

int cmd_request_deny(int argc, char **argv)
{
    struct admin_options o = ADMIN_OPTIONS_DEFAULT;
    const struct option_spec options[] = {ADMIN_OPTION_SPECS(o), {0}};
    const struct usage u = {
        .synopsis = "encroot request deny ID [--broker ADDRESS] [--json]",
        .about = "Refuse the machine that waits under this id, until the denial expires\n"
                 "(approval-seconds in encrootd.conf(5)); or take an approval back that was not\n"
                 "used yet. `encroot volume disable` refuses all.",
        .options = options,
        .example = "  encroot request deny 0f5c6a7e8b9d4c3f2a1b0c9d8e7f6a5b",
    };
    return decide(&u, &o, "deny", "denied", argc, argv);
}
