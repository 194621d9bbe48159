/*
 * Issues virtCCA tokens (VIRTCCA 1): the CVM part from the RIM and the registers as they are at
 * that moment, the platform part that binds the CVM key to the attestation key.
 */
#ifndef ENCROOT_TMM_TOKEN_H
#define ENCROOT_TMM_TOKEN_H

#include "crypto/digest.h"
#include "tmm/authority.h"
#include "tmm/registers.h"

#define TOKEN_CHALLENGE_SIZE 64

struct token_issuer {
    struct authority authority;
    EVP_PKEY *rak; /* the guest's key: new for each run */
    bool platform_token;
    struct digest rim;
};

/*
 * Opens (or makes) the authority in `state`. Without a platform token an RSA guest's key is the
 * attestation key itself, as on older platforms; with P-521 such tokens prove nothing and every
 * verifier must refuse them, which is what they are good for.
 */
int token_issuer_init(struct token_issuer *ret, const char *state, enum authority_kind kind,
                      bool platform_token, const struct digest *rim, struct error *err) _must_use_;
void token_issuer_free(struct token_issuer *t);

/* Append a token. The caller has asked registers_unknown(). */
int token_issue(struct token_issuer *t, const struct registers *g,
                const uint8_t challenge[TOKEN_CHALLENGE_SIZE], struct buffer *ret,
                struct error *err) _must_use_;

#endif
