/* Records of an audit, for tests: decisions about a guest that does not exist. */
#ifndef ENCROOT_TESTS_AUDIT_CHAIN_H
#define ENCROOT_TESTS_AUDIT_CHAIN_H

#include "broker/audit.h"
#include "crypto/digest.h"

#include <string.h>

#define TEST_AUDIT_TIME ((time_t)1767225599) /* 2025-12-31T23:59:59Z */

static inline int make_audit_record(const struct audit_state *last, const struct findings *f,
                                    bool granted, bool readable, struct buffer *ret,
                                    struct audit_state *next, struct error *err)
{
    struct digest request, evidence;
    uint8_t volume[16];
    memset(volume, 0xab, sizeof(volume));
    if (digest_compute(&request, HASH_SHA256, BYTES_STR("request")) < 0 ||
        digest_compute(&evidence, HASH_SHA256, BYTES_STR("evidence")) < 0)
        return error_set(err, EIO, "no digests");
    const struct audit_entry entry = {.id = "0123456789abcdef0123456789abcdef",
                                      .findings = f,
                                      .granted = granted,
                                      .request_sha256 = request.bytes,
                                      .volume = readable ? volume : NULL,
                                      .platform = readable ? "virtcca" : NULL,
                                      .evidence_sha256 = readable ? evidence.bytes : NULL,
                                      .broker = "unlock",
                                      .peer = "192.0.2.1:7220",
                                      .time = TEST_AUDIT_TIME};
    return audit_make(last, &entry, ret, next, err);
}

#endif
