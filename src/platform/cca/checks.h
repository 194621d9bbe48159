/*
 * The checks of a CCA token, and one verification under way. virtCCA and Arm CCA differ in which
 * of them they make, in which tables say (struct cca_dialect), not in how. Internal to
 * src/platform.
 */
#ifndef ENCROOT_PLATFORM_CCA_CHECKS_H
#define ENCROOT_PLATFORM_CCA_CHECKS_H

#include "crypto/x509.h"
#include "platform/platform.h"
#include "token/cca.h"

struct cca_verification;

/* A check leaves one finding or more under `name`. */
struct cca_check {
    const char *name;
    void (*run)(struct cca_verification *v, const char *name);
};

struct cca_key_kinds {
    const char *text;     /* for people: "an RSA-4096 or P-521 key" */
    const char *names[5]; /* as public_key_describe has them; NULL-terminated */
};

/* What tells the evidence of one platform from another's. */
struct cca_dialect {
    struct cca_key_kinds cvm_keys;
    struct cca_key_kinds platform_keys;
    bool wrapped_twice; /* the CVM's claims may be */
    /* Tables that end with name NULL. All of a table runs, whatever its first checks find. */
    const struct cca_check *always;
    const struct cca_check *with_platform; /* tokens with a platform part */
    const struct cca_check *cvm_alone;     /* tokens without */
};

struct cca_verification {
    const struct cca_dialect *dialect;
    const struct cca_token *token;
    struct findings *f;
    const uint8_t *challenge;             /* expected, CHALLENGE_SIZE; for cca_check_challenge */
    const struct platform_policy *policy; /* for the checks of chain and claims */
    /* Who vouches for the platform: a certificate with a chain to the policy's anchors, of which
     * cca_check_certificate takes the key, or a key that is given. */
    struct bytes certificate_file;
    X509 *certificate;      /* owned; NULL: none that can be read */
    EVP_PKEY *platform_key; /* borrowed; NULL: none that can be used */
    EVP_PKEY *cvm_key;      /* owned; set by cca_check_cvm_key, NULL likewise */
};

/* Make the dialect's checks. */
void cca_verify(struct cca_verification *v);
void cca_verification_done(struct cca_verification *v);
#define _cca_verification_ _cleanup_(cca_verification_done)

/* ---- the token by itself ---- */
void cca_check_form(struct cca_verification *v, const char *name);
void cca_check_challenge(struct cca_verification *v, const char *name);
void cca_check_hash(struct cca_verification *v, const char *name);
void cca_check_cvm_key(struct cca_verification *v, const char *name);
void cca_check_cvm_signature(struct cca_verification *v, const char *name);
void cca_check_personalization(struct cca_verification *v, const char *name);
void cca_check_unknown(struct cca_verification *v, const char *name);

/* ---- who vouches for the platform ---- */
void cca_check_certificate(struct cca_verification *v, const char *name);
void cca_check_chain(struct cca_verification *v, const char *name);
void cca_check_pins(struct cca_verification *v, const char *name);
void cca_check_token_required(struct cca_verification *v, const char *name);
void cca_check_given_key(struct cca_verification *v, const char *name);

/* ---- the platform part; or, without it, whose the CVM's key is ---- */
void cca_check_platform_signature(struct cca_verification *v, const char *name);
void cca_check_binding(struct cca_verification *v, const char *name);
void cca_check_key_is_platforms(struct cca_verification *v, const char *name);

/* ---- what the platform says of itself, against the policy ---- */
void cca_check_lifecycle(struct cca_verification *v, const char *name);
void cca_check_profile(struct cca_verification *v, const char *name);
void cca_check_implementation(struct cca_verification *v, const char *name);
void cca_check_instance(struct cca_verification *v, const char *name);
void cca_check_configuration(struct cca_verification *v, const char *name);
void cca_check_components(struct cca_verification *v, const char *name);

/* At most 80 characters of hostile text, fit for a terminal. */
#define PRINTABLE_SIZE 81
const char *printable(struct bytes text, char ret[PRINTABLE_SIZE]);
/* The algorithm that a text claim names, HASH_NONE if it names none that resists collisions. */
enum hash_alg cca_hash(struct bytes claim);
bool value_is_in(const struct value_set *set, struct bytes value);
bool cca_is_key(const EVP_PKEY *key, const struct cca_key_kinds *kinds,
                char ret_kind[PUBLIC_KEY_GROUP_MAX]);

#endif
