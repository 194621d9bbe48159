/* `encroot policy new`: a policy from what the operator has: images, keys, good evidence. */
#include "base/hex.h"
#include "base/io.h"
#include "cli/command.h"
#include "cli/evidence_file.h"
#include "cli/findings_print.h"
#include "cli/image_values.h"
#include "cli/plain_text.h"
#include "cli/policy_compose.h"
#include "cli/policy_load.h"

#include <string.h>
#include <time.h>

#define HASH_JSON_MAX ((size_t)4 << 20)

struct arguments {
    struct policy_source source;
    struct option_list images, references;
    const char *evidence, *volume, *output;
    bool force, json;
};

static int set_volume(json_t *root, const char *text, struct error *err)
{
    uint8_t uuid[16];
    const char *before = json_string_value(json_object_get(root, "volume"));
    if (uuid_parse(text, uuid) < 0)
        return error_set(err, EINVAL, "volume: \"%.100s\" is not a UUID", text);
    if (before && strcmp(before, text) != 0)
        return error_set(err, EINVAL, "images of two volumes, %s and %s: one policy is for one",
                         before, text);
    json_object_set_new(root, "volume", json_string(text));
    return 0;
}

static int add_boot_text(json_t *boot, struct bytes text, const char *name, struct error *err)
{
    json_t *j;
    int r = json_parse(&j, text, name, err);
    if (r == 0)
        json_array_append_new(boot, j);
    return r;
}

static int add_image(json_t *root, json_t *boot, const char *path, struct error *err)
{
    _bootplan_ struct bootplan plan = {0};
    _reference_values_ struct reference_values v = {0};
    _buffer_ struct buffer text = {0};
    char volume[64];
    int r = image_values(&v, &plan, volume, path, 0, err);
    if (r == 0)
        r = reference_values_format(&v, &text, err);
    if (r == 0 && !volume[0])
        r = error_hint(err,
                       error_set(err, EINVAL,
                                 "%s: expected an encrypted image, found none, or "
                                 "several LUKS partitions",
                                 path),
                       "give the output of `encroot image encrypt`");
    if (r == 0)
        r = set_volume(root, volume, err);
    return r < 0 ? r : add_boot_text(boot, buffer_bytes(&text), path, err);
}

static int add_boot(json_t *root, const struct arguments *a, struct error *err)
{
    int r = 0;
    json_t *boot = json_array();
    json_object_set_new(root, "boot", boot);
    for (size_t i = 0; r == 0 && i < a->images.count; i++)
        r = add_image(root, boot, a->images.items[i], err);
    for (size_t i = 0; r == 0 && i < a->references.count; i++) {
        _buffer_ struct buffer text = {0};
        r = read_file(a->references.items[i], HASH_JSON_MAX, &text, err);
        if (r == 0)
            r = add_boot_text(boot, buffer_bytes(&text), a->references.items[i], err);
    }
    if (r == 0 && a->volume)
        r = set_volume(root, a->volume, err);
    return r;
}

/* What is written must accept the evidence that it was made from. */
static int check(struct bytes text, const struct evidence *e, const char *name, bool *pass,
                 struct error *err)
{
    _policy_ struct policy *policy = NULL;
    _findings_ struct findings findings = {0};
    struct error ignored = {0};
    *pass = true;
    int r = policy_parse(&policy, text, name, NULL, err);
    if (r == 0)
        r = policy_refuse_plain(policy, name, err);
    if (r < 0 || !e)
        return r;
    policy->appraisal.platform.chain.now = time(NULL);
    r = appraise(e, e->challenge, &policy->appraisal, &findings, &ignored);
    *pass = r == 0 && findings_pass(&findings);
    if (!*pass)
        findings_print(stderr, &findings, FINDINGS_REJECTED);
    return 0;
}

static int write_policy(const struct arguments *a, struct bytes text, struct error *err)
{
    if (a->output)
        return write_file_atomic(a->output, text, 0644, a->force, err);
    return fwrite(text.data, 1, text.size, stdout) == text.size
               ? 0
               : error_errno(err, errno, "standard output");
}

static int make(struct arguments *a, bool *pass, struct error *err)
{
    _evidence_ struct evidence evidence = {0};
    _json_ json_t *boot = json_object(), *root = NULL;
    const struct evidence *e = a->evidence ? &evidence : NULL;
    a->source.evidence = e;
    int r = e ? evidence_file_load(&evidence, a->evidence, err) : 0;
    if (r == 0)
        r = add_boot(boot, a, err);
    if (r == 0)
        r = policy_compose(&root, &a->source, boot, err);
    if (r < 0)
        return r;
    _free_ char *text = json_dumps(root, JSON_INDENT(2));
    _buffer_ struct buffer out = {0};
    if (!text || buffer_printf(&out, "%s\n", text) < 0)
        return error_set(err, ENOMEM, "out of memory");
    r = check(buffer_bytes(&out), e, a->output ? a->output : "the new policy", pass, err);
    return r < 0 || !*pass ? r : write_policy(a, buffer_bytes(&out), err);
}

int cmd_policy_new(int argc, char **argv)
{
    struct arguments a = {.source = {.folder = "."}};
    const struct option_spec options[] = {
        {0, "from-image", OPTION_LIST, "IMAGE",
         "an encrypted image whose boot is accepted; it is only read\n(may be repeated)", &a.images,
         0, 0},
        {'f', "hash-file", OPTION_LIST, "FILE",
         "its reference values (hash.json), in the place of the image\n(may be repeated)",
         &a.references, 0, 0},
        {'m', "rim", OPTION_LIST, "RIM",
         "accepted initial measurement (may be repeated; default: the\nevidence's)", &a.source.rims,
         0, 0},
        {'d', "dir", OPTION_STRING, "DIR",
         "folder that `encroot init` made, with the trust anchors\n(default: the current one)",
         &a.source.folder, 0, 0},
        {'e', "evidence", OPTION_STRING, "FILE",
         "good evidence (unlock --save-evidence): what it says of\nplatform, firmware and tables "
         "becomes what is expected",
         &a.evidence, 0, 0},
        {0, "platform-reference", OPTION_STRING, "FILE",
         "the sample's platform reference file: its firmware becomes\nwhat is expected",
         &a.source.components, 0, 0},
        {0, "pin-instance", OPTION_FLAG, NULL, "accept the machine of the evidence only",
         &a.source.pin_instance, 0, 0},
        {0, "volume", OPTION_STRING, "UUID", "the volume (default: the image's)", &a.volume, 0, 0},
        {'o', "output", OPTION_STRING, "FILE", "where to write it (default: stdout)", &a.output, 0,
         0},
        {0, "force", OPTION_FLAG, NULL, "replace an existing FILE", &a.force, 0, 0},
        {0, "json", OPTION_FLAG, NULL, "report errors as JSON", &a.json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot policy new {--from-image IMAGE | -f hash.json} {-m RIM | -e FILE}\n"
                    "                  [-d DIR] [-o FILE] [OPTION...]",
        .about =
            "Make an appraisal policy (encroot-policy(5)): one file that holds reference values,\n"
            "trust anchors and the rules that are waived. With evidence of a good boot, values\n"
            "for the platform's claims and tables come from there, and the policy is written\n"
            "only if it accepts that evidence (exit status 3 if it does not).",
        .options = options,
        .example =
            "  encroot unlock -i 10.0.0.7 -m RIM -f disk.hash.json --save-evidence ev.json\n"
            "  encroot policy new --from-image disk-enc.qcow2 -e ev.json -o disk.policy.json",
    };
    int code = options_parse(&u, argc, argv, NULL);
    if (code != OPTIONS_DONE)
        return code;
    if (a.images.count + a.references.count == 0)
        return usage_error(&u, "--from-image IMAGE or -f hash.json is needed");
    if (a.source.rims.count == 0 && !a.evidence)
        return usage_error(&u, "-m RIM or --evidence FILE is needed");
    if (a.source.pin_instance && !a.evidence)
        return usage_error(&u, "--pin-instance needs --evidence FILE");
    struct error err = {0};
    bool pass = false;
    int r = make(&a, &pass, &err);
    if (r < 0)
        return report_error(&err, exit_code_for(r), a.json);
    return pass ? EXIT_OK : EXIT_REFUSED;
}
