/* `encroot volume values REF`: versions of reference values, several valid at once. */
#include "cli/command.h"
#include "cli/plain_text.h"
#include "cli/volume_registration.h"
#include "cli/volume_view.h"

#include <inttypes.h>

struct arguments {
    struct admin_options admin;
    const char *add, *label;
    uint64_t retire, restore, show;
};

static int call(const struct admin_client *c, const char *method, const char *ref, uint64_t version,
                const json_t *body, json_t **ret, struct error *err)
{
    char behind[64] = "/values";
    if (version)
        snprintf(behind, sizeof(behind), "/values/%" PRIu64, version);
    _free_ char *path = admin_path("/v1/volumes/", ref, behind);
    return path ? admin_call(c, method, path, body, ret, err)
                : error_set(err, ENOMEM, "out of memory");
}

static int add(const struct arguments *a, const struct admin_client *c, const char *ref,
               struct error *err)
{
    _json_ json_t *one = json_pack("{s:[]}", "values"), *answer = NULL;
    int r = one ? registration_add_values(one, a->add, a->label, err)
                : error_set(err, ENOMEM, "out of memory");
    if (r == 0)
        r = call(c, "POST", ref, 0, json_array_get(json_object_get(one, "values"), 0), &answer,
                 err);
    if (r < 0)
        return r;
    if (a->admin.json)
        admin_print_json(answer);
    else
        plain_line(stdout, "%s: %s is version %lld, valid beside those before", ref, a->add,
                   (long long)admin_number(answer, "version"));
    return 0;
}

/* Does the same set stand in the policy or in another valid version? */
static int is_still_accepted(const struct admin_client *c, const char *ref, uint64_t version,
                             bool *ret, struct error *err)
{
    _json_ json_t *values = NULL, *policy = NULL;
    _free_ char *path = admin_path("/v1/volumes/", ref, "/policy");
    size_t i;
    const json_t *set;
    if (!path)
        return error_set(err, ENOMEM, "out of memory");
    int r = call(c, "GET", ref, version, NULL, &values, err);
    if (r == 0)
        r = admin_call(c, "GET", path, NULL, &policy, err);
    if (r < 0)
        return error_prefix(err, r, "it is retired; seeing whether the policy has the same set");
    *ret = false;
    json_array_foreach(json_object_get(json_object_get(policy, "effective"), "boot"), i, set)
    {
        if (json_equal(set, json_object_get(values, "text")))
            *ret = true;
    }
    return 0;
}

static int mark(const struct arguments *a, const struct admin_client *c, const char *ref,
                struct error *err)
{
    uint64_t version = a->retire ? a->retire : a->restore;
    _json_ json_t *body = json_pack("{s:b}", "valid", a->restore != 0), *answer = NULL;
    bool still = true;
    int r = call(c, "PATCH", ref, version, body, &answer, err);
    if (r == 0 && a->retire)
        r = is_still_accepted(c, ref, version, &still, err);
    if (r < 0)
        return r;
    if (a->retire)
        json_object_set_new(answer, "accepted", json_boolean(still));
    if (a->admin.json && answer)
        admin_print_json(answer);
    else if (!a->admin.json)
        plain_line(stdout, "%s: version %" PRIu64 " is %s", ref, version,
                   a->restore ? "valid"
                   : still ? "retired, but its boot is still accepted: the same set stands in the "
                             "policy or in another version (encroot volume policy --effective)"
                           : "retired: a boot that only it describes is refused");
    return 0;
}

static int show(const struct arguments *a, const struct admin_client *c, const char *ref,
                struct error *err)
{
    _json_ json_t *answer = NULL;
    int r = call(c, "GET", ref, a->show, NULL, &answer, err);
    if (r < 0)
        return r;
    json_t *text = json_object_get(answer, "text");
    if (!json_is_object(text))
        return error_set(err, EPROTO, "the broker's answer holds no reference values");
    volume_warn_unsealed(ref, answer);
    admin_print_json(a->admin.json ? answer : text); /* as a file it can be used: hash.json */
    return 0;
}

static int list(const struct arguments *a, const struct admin_client *c, const char *ref,
                struct error *err)
{
    _json_ json_t *volume = NULL;
    int r = volume_call(c, "GET", ref, "", NULL, &volume, err);
    if (r < 0)
        return r;
    const json_t *values = json_object_get(volume, "values");
    if (!a->admin.json)
        return volume_print_values(values, err);
    _json_ json_t *j = json_pack("{s:O}", "values", values);
    admin_print_json(j);
    return 0;
}

int cmd_volume_values(int argc, char **argv)
{
    struct arguments a = {.admin = ADMIN_OPTIONS_DEFAULT};
    const struct option_spec options[] = {
        {0, "add", OPTION_STRING, "FILE",
         "a new version, from hash.json as `encroot image encrypt`\nor `measure` writes it", &a.add,
         0, 0},
        {0, "label", OPTION_STRING, "TEXT", "what to call it (default: the file's name)", &a.label,
         0, 0},
        {0, "retire", OPTION_UINT, "N", "version N counts no more", &a.retire, 1, UINT32_MAX},
        {0, "restore", OPTION_UINT, "N", "version N counts again", &a.restore, 1, UINT32_MAX},
        {0, "show", OPTION_UINT, "N", "print version N as a hash.json", &a.show, 1, UINT32_MAX},
        ADMIN_OPTION_SPECS(a.admin),
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot volume values VOLUME [--add FILE [--label TEXT] | --retire N |\n"
                    "                      --restore N | --show N] [--broker ADDRESS] [--json]",
        .about = "The reference values of a volume's boot, in versions. A boot must equal one\n"
                 "valid version as a whole (or a set in the policy itself), so that an image and\n"
                 "its update are both accepted until the old one is retired. Without an option,\n"
                 "list them.",
        .options = options,
        .example = "  encroot volume values web-1 --add web-1.hash.json --label 'kernel 6.1.0-29'\n"
                   "  encroot volume values web-1 --retire 1",
    };
    struct admin_client c;
    struct error err = {0};
    char **words;
    int code = admin_parse(&u, argc, argv, &a.admin, 1, "a volume's name or UUID", &words, &c);
    if (code != OPTIONS_DONE)
        return code;
    if ((a.add != NULL) + (a.retire > 0) + (a.restore > 0) + (a.show > 0) > 1)
        return usage_error(&u, "--add, --retire, --restore and --show are one at a time");
    if (a.label && !a.add)
        return usage_error(&u, "--label goes with --add");
    int r = a.add                   ? add(&a, &c, words[0], &err)
            : a.retire || a.restore ? mark(&a, &c, words[0], &err)
            : a.show                ? show(&a, &c, words[0], &err)
                                    : list(&a, &c, words[0], &err);
    return r < 0 ? admin_report(&err, r, a.admin.json) : EXIT_OK;
}
