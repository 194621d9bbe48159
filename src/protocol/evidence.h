/*
 * Evidence (RFC 9334, 4.1) as it travels from agent to broker, and as `--save-evidence` files
 * keep it: a JSON object. The agent passes token and certificate through unread.
 *
 *   { "version": 1, "volume": "<uuid>", "platform": "virtcca",
 *     "token": "<base64>", "certificate": "<base64>",
 *     "event_log": { "format": "tcg2" | "ccel", "data": "<base64>" },
 *     "challenge": "<128 hex>" }        (in saved files only: what the broker computed)
 */
#ifndef ENCROOT_PROTOCOL_EVIDENCE_H
#define ENCROOT_PROTOCOL_EVIDENCE_H

#include "base/bytes.h"
#include "base/error.h"

#define EVIDENCE_TOKEN_MAX ((size_t)64 << 10)
#define EVIDENCE_CERTIFICATE_MAX ((size_t)16 << 10)
#define EVIDENCE_EVENT_LOG_MAX ((size_t)1 << 20)
#define EVIDENCE_JSON_MAX ((size_t)2 << 20)
#define EVIDENCE_VALUES_MAX 100 /* of its JSON, many more than there are */
#define CHALLENGE_SIZE 64

enum event_log_format {
    EVENT_LOG_TCG2, /* index = PCR (securityfs binary_bios_measurements) */
    EVENT_LOG_CCEL, /* index = CC measurement register: 0 = RIM, 1..4 = REM0..3 */
};

struct evidence {
    uint8_t volume[16];
    char platform[32]; /* name in the tables of src/platform: "virtcca" */
    struct buffer token;
    struct buffer certificate; /* DER or PEM; may be empty */
    enum event_log_format log_format;
    struct buffer event_log; /* may be empty: then appraisal rejects */
    bool has_challenge;      /* saved files */
    uint8_t challenge[CHALLENGE_SIZE];
};

int evidence_parse(struct evidence *ret, struct bytes json, const char *name,
                   struct error *err) _must_use_;
int evidence_format(const struct evidence *e, struct buffer *ret, struct error *err) _must_use_;
void evidence_free(struct evidence *e);
#define _evidence_ _cleanup_(evidence_free)

#endif
