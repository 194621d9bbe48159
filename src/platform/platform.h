/*
 * Platforms are drivers in const tables. An attester (linked into the agent) collects evidence;
 * a verifier (linked into broker and CLI) checks it and yields neutral claims. Adding a platform
 * touches one folder and one line in each table.
 */
#ifndef ENCROOT_PLATFORM_PLATFORM_H
#define ENCROOT_PLATFORM_PLATFORM_H

#include "base/findings.h"
#include "base/waivers.h"
#include "crypto/digest.h"
#include "crypto/x509.h"
#include "protocol/evidence.h"

/* ---- agent side ---- */
struct platform_attester {
    const char *name;      /* goes into evidence.platform: "virtcca" */
    const char *title;     /* for the console: "virtCCA (/dev/tsi)", "software TMM (development)" */
    bool (*present)(void); /* is the interface there now? */
    /* Fills platform, token, certificate, event log and its format. */
    int (*collect)(struct evidence *ret, const uint8_t challenge[CHALLENGE_SIZE],
                   struct error *err);
};
extern const struct platform_attester *const platform_attesters[]; /* NULL-terminated, in order */

/* ---- broker side ---- */
#define PLATFORM_REGISTERS_MAX 5

struct platform_claims {
    enum hash_alg hash;                             /* of the registers */
    struct digest initial;                          /* RIM */
    struct digest extended[PLATFORM_REGISTERS_MAX]; /* [1..4] = REM0..3; [0] unused */
    size_t register_count;                          /* 5 for CCA */
    /* PCR (TCG2 index) → register index; 0 = not extended by software, trust nothing in it;
     * -1 = not part of the boot log (PCR 10, the running kernel's IMA) */
    const int8_t *pcr_map; /* 24 entries, static */
    uint8_t challenge[CHALLENGE_SIZE];
};

/* Accepted values of a claim, as the token has them; empty: none is known. */
struct value_set {
    const struct bytes *list;
    size_t count;
};

/* A software component of the platform; one of the policy's must fit each that is claimed, and each
 * of the policy's must be claimed. */
struct component_policy {
    struct bytes type;
    struct value_set measurements; /* empty: any, if `version_min` is given */
    struct value_set signers;      /* empty: any */
    struct bytes version_min;      /* "1.2.3", compared number by number; size 0: any */
};

/* What the operator expects of the platform: crypto-level trust and reference values for what the
 * platform says of itself. The zero value trusts nothing and knows nothing. */
struct platform_policy {
    const struct trust_anchors *anchors; /* pinned roots, intermediates, revocation lists */
    struct chain_rules chain;            /* `now` is the caller's to set, before each appraisal */
    struct value_set subjects; /* of the attestation key's certificate (RFC 2253); empty: any */
    struct value_set keys;     /* SHA-256 of its SubjectPublicKeyInfo; empty: any */
    struct value_set profiles, implementations, instances, configurations;
    struct value_set lifecycles; /* one byte each: the high byte of the states; empty: secured */
    const struct component_policy *components;
    size_t component_count;
    waiver_set waivers;
};

struct platform_verifier {
    const char *name;
    /*
     * Verify everything that signatures vouch for (token, chain, bindings, challenge) against
     * `policy`, and fill `claims`. Each check is a finding. Returns 0 when claims were filled
     * (which is no verdict: the findings are), negative errno when the evidence cannot be read at
     * all.
     */
    int (*verify)(const struct evidence *e, const uint8_t challenge[CHALLENGE_SIZE],
                  const struct platform_policy *policy, struct findings *f,
                  struct platform_claims *claims, struct error *err);
};
extern const struct platform_verifier *const platform_verifiers[];           /* NULL-terminated */
const struct platform_verifier *platform_verifier_by_name(const char *name); /* NULL if unknown */

#endif
