#include "appraise/trust_vector.h"

#include <string.h>

#define CLAIM(c) (1u << TRUST_##c)

/* Which claims a check speaks of: the first prefix that fits. */
static const struct {
    const char *prefix;
    unsigned claims;
} claims_of_checks[] = {
    {"token.platform.required", CLAIM(HARDWARE) | CLAIM(CONFIGURATION) | CLAIM(EXECUTABLES)},
    {"token.platform.lifecycle", CLAIM(CONFIGURATION)},
    {"token.platform.configuration", CLAIM(CONFIGURATION)},
    {"token.platform.implementation", CLAIM(HARDWARE)},
    {"token.platform.profile", CLAIM(HARDWARE)},
    {"token.platform.components", CLAIM(EXECUTABLES)},
    {"boot.grub.", CLAIM(CONFIGURATION)},
    {"boot.cmdline", CLAIM(CONFIGURATION)},
    {"waived.grub-command", CLAIM(CONFIGURATION)},
    {"waived.secure-boot", CLAIM(CONFIGURATION)},
    {"waived.boot-variable", CLAIM(CONFIGURATION)},
    {"waived.platform-tables", CLAIM(CONFIGURATION)},
    {"boot.", CLAIM(EXECUTABLES)},
    {"log.", CLAIM(EXECUTABLES)},
    {"waived.", CLAIM(EXECUTABLES)},
    {"rim", CLAIM(EXECUTABLES)},
    {"", CLAIM(INSTANCE_IDENTITY)},
};

static unsigned claims_of(const char *check)
{
    size_t i = 0;
    while (strncmp(claims_of_checks[i].prefix, check, strlen(claims_of_checks[i].prefix)) != 0)
        i++;
    return claims_of_checks[i].claims;
}

static enum trust_tier tier_of(const struct finding *n)
{
    if (n->verdict == VERDICT_PASS)
        return TRUST_AFFIRMING;
    if (n->verdict == VERDICT_WAIVED)
        return waiver_rules[n->waiver].loses ? TRUST_WARNING : TRUST_NONE;
    return TRUST_CONTRAINDICATED;
}

static void worsen(enum trust_tier *t, enum trust_tier by)
{
    if (by > *t)
        *t = by;
}

struct trust_vector trust_vector_of(const struct findings *f)
{
    struct trust_vector v = {.status = findings_pass(f) ? TRUST_AFFIRMING : TRUST_CONTRAINDICATED};
    for (size_t i = 0; i < f->count; i++) {
        enum trust_tier t = tier_of(&f->list[i]);
        for (int c = 0; c < TRUST_CLAIM_COUNT; c++)
            if (claims_of(f->list[i].check) >> c & 1)
                worsen(&v.claims[c], t);
        worsen(&v.status, t);
    }
    return v;
}

const char *trust_claim_name(enum trust_claim c)
{
    static const char *const names[TRUST_CLAIM_COUNT] = {
        [TRUST_INSTANCE_IDENTITY] = "instance-identity",
        [TRUST_CONFIGURATION] = "configuration",
        [TRUST_EXECUTABLES] = "executables",
        [TRUST_HARDWARE] = "hardware",
    };
    return names[c];
}

const char *trust_tier_name(enum trust_tier t)
{
    return t >= TRUST_CONTRAINDICATED ? "contraindicated"
           : t >= TRUST_WARNING       ? "warning"
           : t >= TRUST_AFFIRMING     ? "affirming"
                                      : "none";
}
