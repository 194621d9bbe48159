#include "appraise/policy_problems.h"

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

bool policy_next_problem(const struct appraisal_policy *p, size_t *at, struct policy_problem *ret)
{
    for (; *at < ARRAY_SIZE(problems); ++*at) {
        const struct problem *candidate = &problems[*at];
        if (!candidate->has(p))
            continue;
        *ret = (struct policy_problem){candidate->text, is_fatal(p, candidate->weight)};
        ++*at;
        return true;
    }
    return false;
}
