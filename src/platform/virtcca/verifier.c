#include "platform/virtcca/verifier.h"
#include "platform/cca/checks.h"

#include <string.h>

/*
 * VIRTCCA, "Event log": 0 → RIM; 1, 7 → REM0; 2 to 6 → REM1; 8 to 15 → REM2; others REM3. PCR 10
 * is the running kernel's IMA, no part of the boot log.
 */
const int8_t virtcca_pcr_map[VIRTCCA_PCRS] = {
    0, 1, 2,  2, 2, 2, 2, 1, /* 0 to 7 */
    3, 3, -1, 3, 3, 3, 3, 3, /* 8 to 15 */
    4, 4, 4,  4, 4, 4, 4, 4, /* 16 to 23 */
};

#define REGISTERS (1 + CCA_REGISTERS)

static void fill_digest(struct digest *ret, enum hash_alg alg, struct bytes value)
{
    *ret = (struct digest){.alg = alg, .size = value.size};
    memcpy(ret->bytes, value.data, value.size);
}

/* Registers of an algorithm that is not understood stay empty, and then match nothing. */
static void fill_claims(struct platform_claims *ret, const struct cca_cvm *cvm)
{
    *ret = (struct platform_claims){
        .register_count = REGISTERS,
        .pcr_map = virtcca_pcr_map,
    };
    memcpy(ret->challenge, cvm->challenge.data, CHALLENGE_SIZE);
    enum hash_alg alg = cca_hash(cvm->hash_alg);
    if (alg == HASH_NONE || hash_size(alg) != cvm->initial.size)
        return;
    ret->hash = alg;
    fill_digest(&ret->initial, alg, cvm->initial);
    for (size_t i = 0; i < CCA_REGISTERS; i++)
        fill_digest(&ret->extended[i + 1], alg, cvm->extended[i]);
}

static const struct cca_check always[] = {
    {"token.form", cca_check_form},
    {"token.challenge", cca_check_challenge},
    {"token.cvm.hash", cca_check_hash},
    {"token.cvm.key", cca_check_cvm_key},
    {"token.cvm.signature", cca_check_cvm_signature},
    {"token.cvm.personalization", cca_check_personalization},
    {"token.claims.unknown", cca_check_unknown},
    {"token.platform.certificate", cca_check_certificate},
    {"token.platform.chain", cca_check_chain},
    {"token.platform.pin", cca_check_pins},
    {NULL, NULL},
};

static const struct cca_check with_platform[] = {
    {"token.platform.signature", cca_check_platform_signature},
    {"token.platform.binding", cca_check_binding},
    {"token.platform.lifecycle", cca_check_lifecycle},
    {"token.platform.profile", cca_check_profile},
    {"token.platform.implementation", cca_check_implementation},
    {"token.platform.instance", cca_check_instance},
    {"token.platform.configuration", cca_check_configuration},
    {"token.platform.components", cca_check_components},
    {NULL, NULL},
};

static const struct cca_check cvm_alone[] = {
    {"token.platform.required", cca_check_token_required},
    {"token.platform.binding", cca_check_key_is_platforms},
    {NULL, NULL},
};

/* VIRTCCA, "Attestation token": keys are RSA-4096 or on P-521, nothing else. */
#define KEYS                                                                                       \
    {                                                                                              \
        .text = "an RSA-4096 or P-521 key", .names = { "RSA-4096", "P-521" }                       \
    }
static const struct cca_dialect dialect = {
    .cvm_keys = KEYS,
    .platform_keys = KEYS,
    .wrapped_twice = true,
    .always = always,
    .with_platform = with_platform,
    .cvm_alone = cvm_alone,
};

static int virtcca_verify(const struct evidence *e, const uint8_t challenge[CHALLENGE_SIZE],
                          const struct platform_policy *policy, struct findings *f,
                          struct platform_claims *claims, struct error *err)
{
    struct error local = {0};
    struct cca_token token;
    if (!err)
        err = &local;
    int r = cca_token_parse(&token, buffer_bytes(&e->token), err);
    if (r < 0) {
        finding_add(f, "token.form", VERDICT_REJECT, "a CCA attestation token", err->text);
        return r;
    }
    _cca_verification_ struct cca_verification v = {
        .dialect = &dialect,
        .token = &token,
        .challenge = challenge,
        .policy = policy,
        .certificate_file = buffer_bytes(&e->certificate),
        .f = f,
    };
    cca_verify(&v);
    fill_claims(claims, &token.cvm);
    return 0;
}

const struct platform_verifier virtcca_verifier = {
    .name = "virtcca",
    .verify = virtcca_verify,
};
