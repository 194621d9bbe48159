/*
 * Waivers: the rules, each with a name, that explain what equals no reference value. What no rule
 * of a policy explains rejects; the zero value of a set waives nothing but what is always waived,
 * because its form proves that nothing is in it.
 */
#ifndef ENCROOT_BASE_WAIVERS_H
#define ENCROOT_BASE_WAIVERS_H

#include "base/bytes.h"

enum waiver {
    /* always: nothing can hide in such a record */
    WAIVER_SEPARATOR,
    WAIVER_FIRMWARE_ACTION,
    WAIVER_NO_REGISTER,
    /* records of the event log, where a policy says so */
    WAIVER_GRUB_COMMAND,
    WAIVER_SHIM_MOK,
    WAIVER_SECURE_BOOT,
    WAIVER_SECURE_BOOT_AUTHORITY,
    WAIVER_BOOT_VARIABLE,
    WAIVER_PARTITION_TABLE,
    WAIVER_PLATFORM_TABLES,
    /* claims of the token, where a policy says so */
    WAIVER_PERSONALIZATION,
    WAIVER_UNKNOWN_CLAIMS,
    WAIVER_ATTESTATION_KEY,
    WAIVER_PLATFORM_TOKEN,
    WAIVER_PLATFORM_PROFILE,
    WAIVER_PLATFORM_IMPLEMENTATION,
    WAIVER_PLATFORM_INSTANCE,
    WAIVER_PLATFORM_CONFIGURATION,
    WAIVER_PLATFORM_COMPONENTS,
    WAIVER_COUNT,
};

typedef uint32_t waiver_set; /* bits by enum waiver */
#define WAIVERS_NONE ((waiver_set)0)
/* What -m and -f alone waive: they name no values for the platform's claims and tables. */
#define WAIVERS_ALL ((((waiver_set)1) << WAIVER_COUNT) - 1)

struct waiver_rule {
    const char *check;  /* of a finding: "waived.NAME" */
    const char *reason; /* why nothing is lost by it, or what is */
    bool always;        /* in every policy */
    bool loses;         /* something is accepted that nobody looked at */
};
extern const struct waiver_rule waiver_rules[WAIVER_COUNT];

/* As a policy's "waive" names it: "platform-tables". */
const char *waiver_name(enum waiver w);

/* Is `w` waived: by the set, or always? */
bool waives(waiver_set set, enum waiver w);
/* -1 if there is no such rule. */
int waiver_by_name(const char *name);

#endif
