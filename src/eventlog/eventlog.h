/*
 * TCG crypto-agile event logs: TCG2 (PC Client Platform Firmware Profile, 10) and CCEL (UEFI
 * 2.10, 38.4). One bounded reader without policy; replay per register.
 */
#ifndef ENCROOT_EVENTLOG_EVENTLOG_H
#define ENCROOT_EVENTLOG_EVENTLOG_H

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/digest.h"

#define EVENT_LOG_MAX_RECORDS 8192
#define EVENT_LOG_MAX_ALGS 8

/* TCG event types that have a meaning here (PC Client PFP, table 14). */
enum event_type {
    EV_NO_ACTION = 0x3,
    EV_SEPARATOR = 0x4,
    EV_ACTION = 0x5,
    EV_EVENT_TAG = 0x6,
    EV_S_CRTM_VERSION = 0x8,
    EV_PLATFORM_CONFIG_FLAGS = 0xa,
    EV_IPL = 0xd,
    EV_EFI_VARIABLE_DRIVER_CONFIG = 0x80000001,
    EV_EFI_VARIABLE_BOOT = 0x80000002,
    EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000003,
    EV_EFI_BOOT_SERVICES_DRIVER = 0x80000004,
    EV_EFI_RUNTIME_SERVICES_DRIVER = 0x80000005,
    EV_EFI_GPT_EVENT = 0x80000006,
    EV_EFI_ACTION = 0x80000007,
    EV_EFI_PLATFORM_FIRMWARE_BLOB = 0x80000008,
    EV_EFI_HANDOFF_TABLES = 0x80000009,
    EV_EFI_PLATFORM_FIRMWARE_BLOB2 = 0x8000000a,
    EV_EFI_HANDOFF_TABLES2 = 0x8000000b,
    EV_EFI_VARIABLE_BOOT2 = 0x8000000c,
    EV_EFI_VARIABLE_AUTHORITY = 0x800000e0,
};

struct event {
    uint32_t index; /* PCR or CC register index, as in the log */
    uint32_t type;
    struct digest digest; /* of the bank asked for; size 0 for EV_NO_ACTION */
    struct bytes data;    /* points into the log */
    size_t offset;        /* of the record in the log, for messages */
};

struct event_log {
    enum hash_alg bank;
    struct event *events; /* without the Spec ID record */
    size_t count;
};

/*
 * Read `log` for the bank `alg`. Rejects, with the offset: no Spec ID Event03, algorithm counts
 * beyond EVENT_LOG_MAX_ALGS, unknown or repeated digest algorithms, missing bank, sizes beyond
 * the end, more than EVENT_LOG_MAX_RECORDS. Ends at index 0xffffffff, at zeros to the end, or at
 * the end. Events point into `log`, which must outlive the result.
 */
int event_log_parse(struct event_log *ret, struct bytes log, enum hash_alg alg,
                    struct error *err) _must_use_;
void event_log_free(struct event_log *l);
#define _event_log_ _cleanup_(event_log_free)

const char *event_type_name(uint32_t type); /* "EV_IPL"; "unknown" */

/*
 * Extend `registers` (count entries, zeroed by this function to `alg`'s size) with every event:
 * register = map ? map[index] : index; -1 leaves the event out, 0 is never extended (nothing in
 * such records may be trusted). An index beyond the map (24 entries) or count is -EBADMSG.
 */
int event_log_replay(const struct event_log *l, const int8_t *map, struct digest *registers,
                     size_t count, struct error *err) _must_use_;

#endif
