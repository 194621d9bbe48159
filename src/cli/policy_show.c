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

static json_t *show_platform(const struct platform_policy *p)
{
    json_t *j = json_object();
    json_object_set_new(j, "token", json_string(p->token_optional ? "optional" : "required"));
    put_values(j, "subjects", &p->subjects, value_text);
    put_values(j, "keys", &p->keys, value_hex);
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

static json_t *show_boot(const struct reference_values *v)
{
    char hex[DIGEST_HEX_SIZE];
    json_t *j = json_object();
    json_t *kernels = json_array();
    digest_hex(&v->grub, hex);
    json_object_set_new(j, "grub", json_string(hex));
    for (size_t i = 0; i < v->kernel_count; i++)
        json_array_append_new(kernels, plain_json(v->kernels[i].version));
    json_object_set_new(j, "kernels", kernels);
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
        json_dumpf(j, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        inspect_print(stdout, j);
    }
    return EXIT_OK;
}
