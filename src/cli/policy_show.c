/* `encroot policy show FILE`: what a policy accepts, in words, with everything it names read. */
#include "base/hex.h"
#include "cli/command.h"
#include "cli/inspect.h"
#include "cli/options.h"
#include "cli/plain_text.h"
#include "cli/policy_check.h"
#include "cli/policy_load.h"

#include <string.h>

static void put_digests(json_t *root, const char *key, const struct digest *list, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        char hex[DIGEST_HEX_SIZE];
        digest_hex(&list[i], hex);
        json_array_append_new(array, json_string(hex));
    }
    json_object_set_new(root, key, array);
}

static json_t *value_text(struct bytes value)
{
    _free_ char *copy = strndup((const char *)value.data, value.size);
    return copy ? plain_json(copy) : NULL;
}

static json_t *value_hex(struct bytes value)
{
    char hex[2 * DIGEST_MAX + 1];
    hex_encode(value, hex);
    return json_string(hex);
}

static json_t *value_lifecycle(struct bytes value)
{
    return json_string(lifecycle_name(value.data[0]));
}

static void put_values(json_t *root, const char *key, const struct value_set *set,
                       json_t *(*show)(struct bytes value))
{
    json_t *array = json_array();
    for (size_t i = 0; i < set->count; i++)
        json_array_append_new(array, show(set->list[i]));
    if (set->count > 0)
        json_object_set_new(root, key, array);
    else
        json_decref(array);
}

/* ---- whose signatures ---- */

static void put_text(json_t *list, const char *text)
{
    json_array_append_new(list, plain_json(text));
}

static const char *subject_of(const X509 *c, char ret[512])
{
    _buffer_ struct buffer subject = {.max = 500};
    int r = certificate_subject(c, &subject);
    snprintf(ret, 512, "%.*s", r < 0 ? 0 : (int)subject.size,
             r < 0 ? "" : (const char *)subject.data);
    return ret;
}

static void show_certificate(void *arg, const char *role, const X509 *c)
{
    char subject[512], text[640], hex[65];
    uint8_t hash[32];
    if (certificate_sha256(c, hash) < 0)
        return;
    hex_encode(BYTES_OF(hash), hex);
    snprintf(text, sizeof(text), "%s: %s, SHA-256 %s", role, subject_of(c, subject), hex);
    put_text(json_object_get(arg, "certificates"), text);
}

static void show_list(void *arg, const X509 *authority, const char *from, const char *until)
{
    char subject[512], text[640];
    snprintf(text, sizeof(text), "of %s, from %s until %s", subject_of(authority, subject), from,
             until[0] ? until : "an unknown day");
    put_text(json_object_get(arg, "revocation_lists"), text);
}

static json_t *show_trust(const struct platform_policy *p)
{
    json_t *j = json_pack("{s:[], s:[], s:s, s:s}", "certificates", "revocation_lists",
                          "revocation", p->chain.revocation_required ? "required" : "if-present",
                          "dates", p->chain.dates ? "checked" : "ignored");
    if (p->anchors) {
        trust_anchors_each(p->anchors, show_certificate, j);
        trust_anchors_each_crl(p->anchors, show_list, j);
    }
    put_values(j, "subjects", &p->subjects, value_text);
    put_values(j, "keys", &p->keys, value_hex);
    return j;
}

/* ---- what the platform says of itself ---- */

static json_t *show_platform(const struct platform_policy *p)
{
    json_t *j = json_object();
    if (p->lifecycles.count == 0)
        json_object_set_new(j, "lifecycle", json_pack("[s]", "secured"));
    put_values(j, "lifecycle", &p->lifecycles, value_lifecycle);
    put_values(j, "profiles", &p->profiles, value_text);
    put_values(j, "implementation_ids", &p->implementations, value_hex);
    put_values(j, "instance_ids", &p->instances, value_hex);
    put_values(j, "configurations", &p->configurations, value_hex);
    json_t *components = json_array();
    for (size_t i = 0; i < p->component_count; i++) {
        const struct component_policy *c = &p->components[i];
        json_t *o = json_object();
        json_object_set_new(o, "type", value_text(c->type));
        put_values(o, "measurements", &c->measurements, value_hex);
        put_values(o, "signer_ids", &c->signers, value_hex);
        if (c->version_min.size > 0)
            json_object_set_new(o, "min_version", value_text(c->version_min));
        json_array_append_new(components, o);
    }
    json_object_set_new(j, "components", components);
    return j;
}

static void put_digest(json_t *j, const char *key, const struct digest *d)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(d, hex);
    if (d->size > 0)
        json_object_set_new(j, key, json_string(hex));
}

static json_t *show_boot(const struct reference_values *v)
{
    json_t *j = json_object();
    json_t *lines = json_array();
    put_digest(j, "shim", &v->shim);
    put_digest(j, "grub", &v->grub);
    put_digest(j, "grub.cfg", &v->grub_cfg);
    for (size_t i = 0; i < v->kernel_count; i++)
        for (char *const *line = v->kernels[i].cmdlines; line && *line; line++)
            put_text(lines, *line);
    json_object_set_new(j, "cmdlines", lines);
    return j;
}

static json_t *show(const struct appraisal_policy *p)
{
    json_t *j = json_object();
    if (p->volume) {
        char text[UUID_TEXT_SIZE];
        uuid_format(p->volume, text);
        json_object_set_new(j, "volume", json_string(text));
    }
    json_t *platforms = json_array();
    for (size_t i = 0; p->platforms && p->platforms[i]; i++)
        json_array_append_new(platforms, plain_json(p->platforms[i]));
    json_object_set_new(j, "platforms", platforms);
    put_digests(j, "rim", p->initial, p->initial_count);
    json_object_set_new(j, "trust", show_trust(&p->platform));
    json_object_set_new(j, "platform", show_platform(&p->platform));
    json_t *boot = json_array();
    for (size_t i = 0; i < p->boot_count; i++)
        json_array_append_new(boot, show_boot(&p->boot[i]));
    json_object_set_new(j, "boot", boot);
    put_digests(j, "records", p->records.digests, p->records.count);
    json_t *waived = json_object();
    for (int w = 0; w < WAIVER_COUNT; w++)
        if (waives(p->records.waivers, (enum waiver)w))
            json_object_set_new(waived, waiver_name((enum waiver)w),
                                json_string(waiver_rules[w].reason));
    json_object_set_new(j, "waived", waived);
    json_object_update_new(j, policy_problems(p));
    return j;
}

int cmd_policy_show(int argc, char **argv)
{
    bool json = false;
    const struct option_spec options[] = {
        {0, "json", OPTION_FLAG, NULL, "print it as JSON", &json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot policy show FILE [--json]",
        .about = "Show what an appraisal policy accepts, with everything that it names read: the\n"
                 "values, the kernels, and each rule that it waives with its reason.",
        .options = options,
        .example = "  encroot policy show disk.policy.json",
    };
    _policy_ struct policy *policy = NULL;
    int code = policy_operand(&u, argc, argv, &json, &policy);
    if (code != OPTIONS_DONE)
        return code;
    _json_ json_t *j = show(&policy->appraisal);
    if (json) {
        json_dumpf(j, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        putchar('\n');
    } else {
        inspect_print(stdout, j);
    }
    return EXIT_OK;
}
