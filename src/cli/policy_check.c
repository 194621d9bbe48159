/* `encroot policy check FILE`: can it be read, can anything pass it, and what does it give up? */
#include "cli/policy_check.h"
#include "cli/policy_load.h"
#include "cli/command.h"
#include "cli/options.h"

#include <string.h>

/* Each says something of a policy. */
enum weight {
    NOTE,
    TOKENS, /* nothing with a platform token can pass: fatal unless that is waived */
    FATAL,  /* nothing can pass, or what passes is not what it should be */
};

struct problem {
    enum weight weight;
    bool (*has)(const struct appraisal_policy *p);
    const char *text;
};

static bool no_rim(const struct appraisal_policy *p)
{
    return p->initial_count == 0;
}
static bool no_platform(const struct appraisal_policy *p)
{
    return p->platforms && !p->platforms[0];
}
static bool no_anchors(const struct appraisal_policy *p)
{
    return !p->platform.anchors;
}
static bool no_boot(const struct appraisal_policy *p)
{
    return p->boot_count == 0;
}
static bool no_volume(const struct appraisal_policy *p)
{
    return !p->volume;
}
static bool no_pin(const struct appraisal_policy *p)
{
    return p->platform.subjects.count + p->platform.keys.count == 0 &&
           !waives(p->platform.waivers, WAIVER_ATTESTATION_KEY);
}
/* Every token with a platform part will be refused; and others, unless that is waived. */
static bool undecided(size_t known, const struct appraisal_policy *p, enum waiver w)
{
    return known == 0 && !waives(p->platform.waivers, w);
}
static bool no_profile(const struct appraisal_policy *p)
{
    return undecided(p->platform.profiles.count, p, WAIVER_PLATFORM_PROFILE);
}
static bool no_implementation(const struct appraisal_policy *p)
{
    return undecided(p->platform.implementations.count, p, WAIVER_PLATFORM_IMPLEMENTATION);
}
static bool no_instance(const struct appraisal_policy *p)
{
    return undecided(p->platform.instances.count, p, WAIVER_PLATFORM_INSTANCE);
}
static bool no_configuration(const struct appraisal_policy *p)
{
    return undecided(p->platform.configurations.count, p, WAIVER_PLATFORM_CONFIGURATION);
}
static bool no_components(const struct appraisal_policy *p)
{
    return undecided(p->platform.component_count, p, WAIVER_PLATFORM_COMPONENTS);
}
static bool token_waived(const struct appraisal_policy *p)
{
    return waives(p->platform.waivers, WAIVER_PLATFORM_TOKEN);
}
static bool plain_boot(const struct appraisal_policy *p)
{
    return policy_plain_boot(p) != NULL;
}

#define UNDECIDED(member, rule)                                                                    \
    "\"platform\" has no \"" member "\", and \"" rule "\" is not waived: every platform token "    \
    "will be refused"

static const struct problem problems[] = {
    {FATAL, no_platform, "\"platforms\" is empty: no evidence is accepted"},
    {FATAL, no_rim, "\"rim\" is empty: no initial measurement is accepted"},
    {FATAL, no_anchors, "\"trust\" is missing: nobody's signature is accepted"},
    {FATAL, no_boot, "\"boot\" is empty: nothing that boots is accepted"},
    {FATAL, plain_boot,
     "\"boot\" has values of an image that is not encrypted: its root could be "
     "anything"},
    {NOTE, no_volume, "\"volume\" is missing: the policy holds for any volume"},
    {NOTE, token_waived,
     "\"platform-token\" is waived: a token without a platform part passes, "
     "whatever \"platform\" says; \"keys\" of \"trust\" pin such machines"},
    {FATAL, no_pin,
     "\"trust\" has no \"subjects\" or \"keys\", and \"attestation-key\" is not waived: every "
     "token "
     "will be refused"},
    {TOKENS, no_profile, UNDECIDED("profiles", "platform-profile")},
    {TOKENS, no_implementation, UNDECIDED("implementation_ids", "platform-implementation")},
    {TOKENS, no_instance, UNDECIDED("instance_ids", "platform-instance")},
    {TOKENS, no_configuration, UNDECIDED("configurations", "platform-configuration")},
    {TOKENS, no_components, UNDECIDED("components", "platform-components")},
};

static bool is_fatal(const struct appraisal_policy *p, enum weight w)
{
    return w == FATAL || (w == TOKENS && !token_waived(p));
}

json_t *policy_problems(const struct appraisal_policy *p)
{
    bool fatal = false;
    json_t *texts = json_array();
    json_t *unseen = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(problems); i++) {
        if (!problems[i].has(p))
            continue;
        fatal |= is_fatal(p, problems[i].weight);
        json_array_append_new(texts, json_string(problems[i].text));
    }
    for (int w = 0; w < WAIVER_COUNT; w++)
        if (waiver_rules[w].loses && waives(p->records.waivers, (enum waiver)w))
            json_array_append_new(unseen, json_string(waiver_name((enum waiver)w)));
    return json_pack("{s:b, s:o, s:o}", "unusable", fatal, "problems", texts, "accepted_unseen",
                     unseen);
}

static void print(const char *path, const json_t *report)
{
    size_t i;
    json_t *text;
    json_array_foreach(json_object_get(report, "problems"), i, text)
        printf("note: %s\n", json_string_value(text));
    json_array_foreach(json_object_get(report, "accepted_unseen"), i, text)
        printf("note: accepts unseen: %s (%s)\n", json_string_value(text),
               waiver_rules[waiver_by_name(json_string_value(text))].reason);
    printf("%s: %s\n", path,
           json_is_true(json_object_get(report, "unusable"))
               ? "a policy that must not be used, or that nothing can pass"
               : "a valid policy");
}

int cmd_policy_check(int argc, char **argv)
{
    bool json = false;
    const struct option_spec options[] = {
        {0, "json", OPTION_FLAG, NULL, "print the result as JSON", &json, 0, 0},
        {0},
    };
    const struct usage u = {
        .synopsis = "encroot policy check FILE [--json]",
        .about = "Read an appraisal policy and everything that it names, and say what is wrong\n"
                 "with it, what it can never accept, and what it accepts unseen. Exit status 0: a\n"
                 "valid policy; 4: one that cannot be read, that nothing can pass, or whose boot "
                 "is that\n"
                 "of an image that is not encrypted.",
        .options = options,
        .example = "  encroot policy check disk.policy.json",
    };
    _policy_ struct policy *policy = NULL;
    int code = policy_operand(&u, argc, argv, &json, &policy);
    if (code != OPTIONS_DONE)
        return code;
    _json_ json_t *report = policy_problems(&policy->appraisal);
    bool fatal = json_is_true(json_object_get(report, "unusable"));
    if (json) {
        json_dumpf(report, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print(argv[argc - 1], report);
    }
    return fatal ? EXIT_BAD_INPUT : EXIT_OK;
}
