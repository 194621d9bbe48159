#include "base/waivers.h"

#include <string.h>

const struct waiver_rule waiver_rules[WAIVER_COUNT] = {
    [WAIVER_SEPARATOR] = {"waived.separator", "four zero bytes between firmware and what it starts",
                          true},
    [WAIVER_FIRMWARE_ACTION] = {"waived.firmware-action", "one of firmware's own texts", true,
                                false},
    [WAIVER_NO_REGISTER] = {"waived.no-register",
                            "extended nothing that the token holds, so counts for nothing", true,
                            false},
    [WAIVER_GRUB_COMMAND] = {"waived.grub-command",
                             "without a list of GRUB's commands: the command's effect is measured "
                             "again by other records",
                             false, true},
    [WAIVER_SHIM_MOK] = {"waived.shim-mok",
                         "shim's list of keys; every program that a key could admit is appraised",
                         false, false},
    [WAIVER_SECURE_BOOT] = {"waived.secure-boot",
                            "keys and state of Secure Boot; every program is appraised by digest",
                            false, false},
    [WAIVER_SECURE_BOOT_AUTHORITY] = {"waived.secure-boot-authority",
                                      "the key that vouched for a program; its digest is appraised",
                                      false, false},
    [WAIVER_BOOT_VARIABLE] = {"waived.boot-variable",
                              "the order of boot; what is started is appraised", false, false},
    [WAIVER_PARTITION_TABLE] = {"waived.partition-table",
                                "where partitions are; what is read from them is appraised", false,
                                false},
    [WAIVER_PLATFORM_TABLES] = {"waived.platform-tables",
                                "ACPI and SMBIOS tables of the machine, which the host makes",
                                false, true},
    [WAIVER_PERSONALIZATION] = {"waived.personalization",
                                "the host chooses it, and nothing is granted by it", false, false},
    [WAIVER_UNKNOWN_CLAIMS] = {"waived.unknown-claims", "nothing is granted by them", false, false},
    [WAIVER_ATTESTATION_KEY] = {"waived.attestation-key",
                                "any key that the pinned authorities certify, for whatever product",
                                false, true},
    [WAIVER_PLATFORM_TOKEN] = {"waived.platform-token",
                               "the certified key signs for itself: nothing is known of the "
                               "platform's state and firmware",
                               false, true},
    [WAIVER_PLATFORM_PROFILE] = {"waived.platform-profile",
                                 "the claims have the form that is expected", false, false},
    [WAIVER_PLATFORM_IMPLEMENTATION] = {"waived.platform-implementation",
                                        "any implementation that the pinned vendor signs for",
                                        false, true},
    [WAIVER_PLATFORM_INSTANCE] = {"waived.platform-instance", "any of the pinned vendor's machines",
                                  false, false},
    [WAIVER_PLATFORM_CONFIGURATION] = {"waived.platform-configuration",
                                       "any configuration that the pinned vendor signs for", false,
                                       true},
    [WAIVER_PLATFORM_COMPONENTS] = {"waived.platform-components",
                                    "whatever firmware the platform's vendor signed", false, true},
};

const char *waiver_name(enum waiver w)
{
    return waiver_rules[w].check + strlen("waived.");
}

bool waives(waiver_set set, enum waiver w)
{
    return waiver_rules[w].always || (set >> w & 1);
}

int waiver_by_name(const char *name)
{
    for (int i = 0; i < WAIVER_COUNT; i++)
        if (strcmp(waiver_name((enum waiver)i), name) == 0)
            return i;
    return -1;
}
