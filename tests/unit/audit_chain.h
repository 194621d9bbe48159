/* Records of an audit, for tests: decisions about a guest that does not exist. */
#ifndef ENCROOT_TESTS_AUDIT_CHAIN_H
#define ENCROOT_TESTS_AUDIT_CHAIN_H

#include "broker/audit.h"

#include <string.h>

#define TEST_AUDIT_TIME ((time_t)1767225599) /* 2025-12-31T23:59:59Z */

static inline int make_audit_record(const struct audit_state *last, const struct findings *f,
                                    bool granted, bool readable, struct buffer *ret,
                                    struct audit_state *next, struct error *err)
{
    struct evidence evidence = {.platform = "virtcca"};
    memset(evidence.volume, 0xab, sizeof(evidence.volume));
    const struct release_record decision = {.id = "0123456789abcdef0123456789abcdef",
                                            .request = BYTES_STR("request"),
                                            .evidence = readable ? &evidence : NULL,
                                            .findings = f,
                                            .granted = granted};
    const struct audit_entry entry = {.decision = &decision,
                                      .evidence = BYTES_STR("evidence"),
                                      .peer = "192.0.2.1:7220",
                                      .time = TEST_AUDIT_TIME};
    return audit_make(last, &entry, ret, next, err);
}

#endif
