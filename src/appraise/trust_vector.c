#include "appraise/trust_vector.h"

#include <string.h>

/* Which claim a check speaks of: the first prefix that fits. */
static const struct {
    const char *prefix;
    enum trust_claim claim;
} claims_of_checks[] = {
    {"token.platform.lifecycle", TRUST_CONFIGURATION},
    {"token.platform.configuration", TRUST_CONFIGURATION},
    {"token.platform.implementation", TRUST_HARDWARE},
    {"token.platform.profile", TRUST_HARDWARE},
    {"token.platform.components", TRUST_EXECUTABLES},
    {"boot.grub.", TRUST_CONFIGURATION},
    {"boot.cmdline", TRUST_CONFIGURATION},
    {"waived.grub-command", TRUST_CONFIGURATION},
    {"waived.secure-boot", TRUST_CONFIGURATION},
    {"waived.boot-variable", TRUST_CONFIGURATION},
    {"waived.platform-tables", TRUST_CONFIGURATION},
    {"boot.", TRUST_EXECUTABLES},
    {"log.", TRUST_EXECUTABLES},
    {"waived.", TRUST_EXECUTABLES},
    {"rim", TRUST_EXECUTABLES},
    {"", TRUST_INSTANCE_IDENTITY},
};

static enum trust_claim claim_of(const char *check)
{
    size_t i = 0;
    while (strncmp(claims_of_checks[i].prefix, check, strlen(claims_of_checks[i].prefix)) != 0)
        i++;
    return claims_of_checks[i].claim;
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
        worsen(&v.claims[claim_of(f->list[i].check)], t);
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
