/* `encroot volume policy REF`: what guests must prove to get the key. */
#include "base/io.h"
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/policy_embed.h"
#include "cli/volume_view.h"

#include <string.h>

struct arguments {
    struct admin_options admin;
    const char *output, *set;
    uint64_t revision;
    bool effective, force;
};

static int get(const struct admin_client *c, const char *ref, json_t **ret, struct error *err)
{
    _free_ char *path = admin_path("/v1/volumes/", ref, "/policy");
    if (!path)
        return error_set(err, ENOMEM, "out of memory");
    int r = admin_call(c, "GET", path, NULL, ret, err);
    if (r == 0 && (!json_is_object(json_object_get(*ret, "policy")) ||
                   !json_is_object(json_object_get(*ret, "effective"))))
        r = error_set(err, EPROTO, "the broker's answer holds no policy");
    return r;
}

static int show(const struct arguments *a, const struct admin_client *c, const char *ref,
                struct error *err)
{
    _json_ json_t *answer = NULL;
    int r = get(c, ref, &answer, err);
    if (r < 0)
        return r;
    const json_t *policy = json_object_get(answer, a->effective ? "effective" : "policy");
    long long revision = (long long)admin_number(answer, "revision");
    if (a->output && volume_is_unsealed(answer))
        return error_hint(err,
                          error_set(err, EKEYREJECTED,
                                    "%s: is unsealed, changed past the broker: nothing is written",
                                    ref),
                          "without -o its policy is shown; `encroot volume seal` takes it over");
    volume_warn_unsealed(ref, answer);
    if (a->admin.json) {
        admin_print_json(answer);
        return 0;
    }
    if (!a->output) {
        admin_print_json(policy);
        return 0;
    }
    _free_ char *text = json_dumps(policy, JSON_INDENT(2));
    _buffer_ struct buffer out = {0};
    if (!text || buffer_append(&out, text, strlen(text)) < 0 || buffer_append(&out, "\n", 1) < 0)
        return error_set(err, ENOMEM, "out of memory");
    r = write_file_atomic(a->output, buffer_bytes(&out), 0644, a->force, err);
    if (r == 0)
        plain_line(stdout, "%s: revision %lld of the policy of %s", a->output, revision, ref);
    return r;
}

static int set(const struct arguments *a, const struct admin_client *c, const char *ref,
               struct error *err)
{
    _json_ json_t *policy = NULL, *body = NULL, *volume = NULL;
    int r = policy_embed(&policy, a->set, err);
    if (r < 0)
        return r;
    body = json_pack("{s:O}", "policy", policy);
    if (a->revision)
        json_object_set_new(body, "revision", json_integer((json_int_t)a->revision));
    r = volume_call(c, "PUT", ref, "/policy", body, &volume, err);
    if (r < 0)
        return r;
    if (a->admin.json)
        admin_print_json(volume);
    else
        plain_line(stdout, "%s (%s): %s is in force, revision %lld", admin_text(volume, "name"),
                   admin_text(volume, "uuid"), a->set, (long long)admin_number(volume, "revision"));
    return 0;
}

int cmd_volume_policy(int argc, char **argv)
{
    struct arguments a = {.admin = ADMIN_OPTIONS_DEFAULT};
    const struct option_spec options[] = {
        {'o', "output", OPTION_STRING, "FILE", "write it there (default: stdout)", &a.output, 0, 0},
        {0, "force", OPTION_FLAG, NULL, "replace an existing FILE", &a.force, 0, 0},
        {0, "effective", OPTION_FLAG, NULL,
         "what guests are appraised by: with all valid versions\nof reference values in it",
         &a.effective, 0, 0},
        {0, "set", OPTION_STRING, "FILE",
         "put this policy in force (encroot-policy(5)); the files\nthat it names are sent with it",
         &a.set, 0, 0},
        {0, "revision", OPTION_UINT, "N",
         "with --set: only if nobody changed it since this revision", &a.revision, 1, INT64_MAX},
        ADMIN_OPTION_SPECS(a.admin),
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot volume policy VOLUME [-o FILE [--force]] [--effective]\n"
                    "       encroot volume policy VOLUME --set FILE [--revision N]\n"
                    "                             [--broker ADDRESS] [--json]",
        .about = "Show or replace the appraisal policy of a volume (its name or UUID). Reference\n"
                 "values that are kept in versions (encroot volume values) are not in the policy;\n"
                 "--effective shows both together. The file can be checked and shown by `encroot\n"
                 "policy check` and `encroot policy show`. What is set counts from the next\n"
                 "request on.",
        .options = options,
        .example = "  encroot volume policy web-1 -o web-1.policy.json\n"
                   "  (edit it) && encroot policy check web-1.policy.json\n"
                   "  encroot volume policy web-1 --set web-1.policy.json --revision 4",
    };
    struct admin_client c;
    struct error err = {0};
    char **words;
    int code = admin_parse(&u, argc, argv, &a.admin, 1, "a volume's name or UUID", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    if (a.set && (a.output || a.effective))
        return usage_error(&u, "--set replaces the policy, -o and --effective show it");
    if (a.revision && !a.set)
        return usage_error(&u, "--revision goes with --set");
    int r = a.set ? set(&a, &c, words[0], &err) : show(&a, &c, words[0], &err);
    return r < 0 ? admin_report(&err, r, a.admin.json) : EXIT_OK;
}
