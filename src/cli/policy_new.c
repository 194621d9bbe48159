/* `encroot policy new`: a policy from what the operator has: images, keys, good evidence. */
#include "base/hex.h"
#include "base/io.h"
#include "cli/command.h"
#include "cli/evidence_file.h"
#include "cli/findings_print.h"
#include "cli/image_values.h"
#include "cli/paths.h"
#include "cli/plain_text.h"
#include "cli/policy_claims.h"
#include "cli/policy_load.h"
#include "cli/policy_trust.h"

#include <string.h>
#include <time.h>

#define HASH_JSON_MAX ((size_t)4 << 20)

struct arguments {
    struct option_list images, references, rims;
    const char *folder, *evidence, *components, *volume, *output;
    bool pin_instance, force, json;
};

/*
 * Waived from the start: what other records or the digests of the programs decide. What evidence
 * can tell is waived only without evidence.
 */
static const enum waiver from_the_start[] = {WAIVER_SHIM_MOK, WAIVER_SECURE_BOOT,
                                             WAIVER_SECURE_BOOT_AUTHORITY, WAIVER_BOOT_VARIABLE,
                                             WAIVER_PARTITION_TABLE};
static const enum waiver without_evidence[] = {WAIVER_PLATFORM_TABLES, WAIVER_PLATFORM_PROFILE,
                                               WAIVER_PLATFORM_IMPLEMENTATION,
                                               WAIVER_PLATFORM_CONFIGURATION};

static const enum waiver unknown_components[] = {WAIVER_PLATFORM_COMPONENTS};
static const enum waiver unknown_commands[] = {WAIVER_GRUB_COMMAND};
static const enum waiver any_machine[] = {WAIVER_PLATFORM_INSTANCE, WAIVER_ATTESTATION_KEY};

static void add_waivers(json_t *to, const enum waiver *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_array_append_new(to, json_string(waiver_name(list[i])));
}

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

static int add_rims(json_t *root, const struct arguments *a, const struct evidence *e,
                    struct error *err)
{
    struct digest d;
    char hex[DIGEST_HEX_SIZE];
    json_t *rims = json_array();
    json_object_set_new(root, "rim", rims);
    for (size_t i = 0; i < a->rims.count; i++) {
        if (policy_digest(&d, a->rims.items[i]) < 0)
            return error_set(err, EINVAL, "RIM: expected 64, 96 or 128 hexadecimal digits");
        digest_hex(&d, hex);
        json_array_append_new(rims, json_string(hex));
    }
    return a->rims.count == 0 ? policy_rim_of(e, rims, err) : 0;
}

/* The sample's hash.json does not know what GRUB does. */
static bool lacks_commands(const json_t *boot)
{
    size_t i;
    json_t *set;
    json_array_foreach(boot, i, set) if (!json_object_get(set, "grub_commands")) return true;
    return false;
}

static int compose(json_t *root, const struct arguments *a, const struct evidence *e,
                   struct error *err)
{
    _cleanup_(paths_free) struct paths paths = {0};
    json_t *waive = json_array();
    json_object_set_new(root, "version", json_integer(1));
    json_object_set_new(root, "platforms", json_pack("[s]", e ? e->platform : "virtcca"));
    int r = paths_of(&paths, a->folder, err);
    if (r == 0)
        r = add_rims(root, a, e, err);
    if (r == 0)
        r = policy_trust_of(root, paths.trust_folder, paths.trust_pins, err);
    if (r == 0 && e)
        r = policy_claims_of(root, e, a->pin_instance, err);
    if (r == 0 && a->components)
        r = policy_components_of(root, a->components, err);
    if (r == 0)
        r = add_boot(root, a, err);
    add_waivers(waive, from_the_start, ARRAY_SIZE(from_the_start));
    if (!e)
        add_waivers(waive, without_evidence, ARRAY_SIZE(without_evidence));
    if (!e && !a->components)
        add_waivers(waive, unknown_components, ARRAY_SIZE(unknown_components));
    if (lacks_commands(json_object_get(root, "boot")))
        add_waivers(waive, unknown_commands, ARRAY_SIZE(unknown_commands));
    if (!a->pin_instance)
        add_waivers(waive, any_machine, ARRAY_SIZE(any_machine));
    json_object_set_new(root, "waive", waive);
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

static int make(const struct arguments *a, bool *pass, struct error *err)
{
    _evidence_ struct evidence evidence = {0};
    _json_ json_t *root = json_object();
    const struct evidence *e = a->evidence ? &evidence : NULL;
    int r = e ? evidence_file_load(&evidence, a->evidence, err) : 0;
    if (r == 0)
        r = compose(root, a, e, err);
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
    struct arguments a = {.folder = "."};
    const struct option_spec options[] = {
        {0, "from-image", OPTION_LIST, "IMAGE",
         "an encrypted image whose boot is accepted; it is only read\n(may be repeated)", &a.images,
         0, 0},
        {'f', "hash-file", OPTION_LIST, "FILE",
         "its reference values (hash.json), in the place of the image\n(may be repeated)",
         &a.references, 0, 0},
        {'m', "rim", OPTION_LIST, "RIM",
         "accepted initial measurement (may be repeated; default: the\nevidence's)", &a.rims, 0, 0},
        {'d', "dir", OPTION_STRING, "DIR",
         "folder that `encroot init` made, with the trust anchors\n(default: the current one)",
         &a.folder, 0, 0},
        {'e', "evidence", OPTION_STRING, "FILE",
         "good evidence (unlock --save-evidence): what it says of\nplatform, firmware and tables "
         "becomes what is expected",
         &a.evidence, 0, 0},
        {0, "platform-reference", OPTION_STRING, "FILE",
         "the sample's platform reference file: its firmware becomes\nwhat is expected",
         &a.components, 0, 0},
        {0, "pin-instance", OPTION_FLAG, NULL, "accept the machine of the evidence only",
         &a.pin_instance, 0, 0},
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
    if (a.rims.count == 0 && !a.evidence)
        return usage_error(&u, "-m RIM or --evidence FILE is needed");
    if (a.pin_instance && !a.evidence)
        return usage_error(&u, "--pin-instance needs --evidence FILE");
    struct error err = {0};
    bool pass = false;
    int r = make(&a, &pass, &err);
    if (r < 0)
        return report_error(&err, exit_code_for(r), a.json);
    return pass ? EXIT_OK : EXIT_REFUSED;
}
