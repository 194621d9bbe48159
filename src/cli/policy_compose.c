#include "cli/policy_compose.h"
#include "appraise/policy.h"
#include "base/waivers.h"
#include "cli/paths.h"
#include "cli/policy_claims.h"
#include "cli/policy_trust.h"

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

static int add_rims(json_t *root, const struct policy_source *s, struct error *err)
{
    struct digest d;
    char hex[DIGEST_HEX_SIZE];
    json_t *rims = json_array();
    json_object_set_new(root, "rim", rims);
    for (size_t i = 0; i < s->rims.count; i++) {
        if (policy_digest(&d, s->rims.items[i]) < 0)
            return error_set(err, EINVAL, "RIM: expected 64, 96 or 128 hexadecimal digits");
        digest_hex(&d, hex);
        json_array_append_new(rims, json_string(hex));
    }
    return s->rims.count == 0 ? policy_rim_of(s->evidence, rims, err) : 0;
}

/* The sample's hash.json does not know what GRUB does. */
static bool lacks_commands(const json_t *boot)
{
    size_t i;
    json_t *set;
    json_array_foreach(boot, i, set) if (!json_object_get(set, "grub_commands")) return true;
    return false;
}

static void waive(json_t *root, const struct policy_source *s)
{
    json_t *list = json_array();
    json_object_set_new(root, "waive", list);
    add_waivers(list, from_the_start, ARRAY_SIZE(from_the_start));
    if (!s->evidence)
        add_waivers(list, without_evidence, ARRAY_SIZE(without_evidence));
    if (!s->evidence && !s->components)
        add_waivers(list, unknown_components, ARRAY_SIZE(unknown_components));
    if (lacks_commands(json_object_get(root, "boot")))
        add_waivers(list, unknown_commands, ARRAY_SIZE(unknown_commands));
    if (!s->pin_instance)
        add_waivers(list, any_machine, ARRAY_SIZE(any_machine));
}

int policy_compose(json_t **ret, const struct policy_source *s, json_t *boot, struct error *err)
{
    _cleanup_(paths_free) struct paths paths = {0};
    const struct evidence *e = s->evidence;
    _json_ json_t *root =
        json_pack("{s:i, s:[s]}", "version", 1, "platforms", e ? e->platform : "virtcca");
    if (!root)
        return error_set(err, ENOMEM, "out of memory");
    int r = paths_of(&paths, s->folder, err);
    if (r == 0)
        r = add_rims(root, s, err);
    if (r == 0)
        r = policy_trust_of(root, paths.trust_folder, paths.trust_pins, err);
    if (r == 0 && e)
        r = policy_claims_of(root, e, s->pin_instance, err);
    if (r == 0 && s->components)
        r = policy_components_of(root, s->components, err);
    if (r == 0 && json_object_update(root, boot) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    if (r < 0)
        return r;
    waive(root, s);
    *ret = TAKE_PTR(root);
    return 0;
}
