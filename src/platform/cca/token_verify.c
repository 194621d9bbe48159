#include "platform/cca/token_verify.h"
#include "platform/cca/checks.h"

static const struct cca_check always[] = {
    {"token.form", cca_check_form},
    {"token.cvm.key", cca_check_cvm_key},
    {"token.cvm.signature", cca_check_cvm_signature},
    {"token.platform.key", cca_check_given_key},
    {NULL, NULL},
};

static const struct cca_check with_platform[] = {
    {"token.platform.signature", cca_check_platform_signature},
    {"token.platform.binding", cca_check_binding},
    {NULL, NULL},
};

static const struct cca_check cvm_alone[] = {
    {"token.platform.binding", cca_check_key_is_platforms},
    {NULL, NULL},
};

/* virtCCA's kinds of keys and Arm's (VIRTCCA, "Attestation token" and "Differences of Arm CCA"). */
static const struct cca_dialect any = {
    .cvm_keys = {.text = "an RSA-4096, P-521 or P-384 key",
                 .names = {"RSA-4096", "P-521", "P-384"}},
    .platform_keys = {.text = "an RSA-4096, P-521, P-384 or P-256 key",
                      .names = {"RSA-4096", "P-521", "P-384", "P-256"}},
    .wrapped_twice = true,
    .always = always,
    .with_platform = with_platform,
    .cvm_alone = cvm_alone,
};

void cca_token_verify(const struct cca_token *t, EVP_PKEY *platform_key, struct findings *f)
{
    _cca_verification_ struct cca_verification v = {
        .dialect = &any,
        .token = t,
        .f = f,
        .platform_key = platform_key,
    };
    cca_verify(&v);
}
