/*
 * CCA attestation tokens (Arm "Realm Management Monitor specification", A7; virtCCA's dialect):
 * tag 399 { 44234: platform token, 44241: CVM (realm) token }, each a COSE_Sign1 over a map of
 * claims; or tag 907 with `[263, token]` for each token (draft-ffm-rats-cca-token, 4.1). Parsing
 * checks form, not truth: nothing here is believed until it is verified.
 */
#ifndef ENCROOT_TOKEN_CCA_H
#define ENCROOT_TOKEN_CCA_H

#include "crypto/digest.h"
#include "token/cose.h"

#define CCA_REGISTERS 4 /* REM0..3 */
#define CCA_COMPONENTS_MAX 32
#define CCA_UNKNOWN_MAX 16

/* A claim that this program has no name for: kept and shown, never a reason to accept. */
struct cca_unknown {
    int64_t label;
    struct bytes text_label; /* instead of `label` if not empty */
    struct bytes value;      /* CBOR */
};

struct cca_unknowns {
    struct cca_unknown list[CCA_UNKNOWN_MAX];
    size_t count;
};

/* Views into the token; an empty one is a claim that is not there. Text lacks trailing NULs. */
struct cca_cvm {
    struct bytes challenge;       /* 10: 64 bytes */
    struct bytes personalization; /* 44235: 64 bytes */
    struct bytes initial;         /* 44238: RIM */
    struct bytes extended[CCA_REGISTERS];
    struct bytes hash_alg;         /* 44236: of the registers */
    struct bytes public_key;       /* 44237: RAK; see cca_public_key */
    struct bytes binding_hash_alg; /* 44240: of the platform's challenge over `public_key` */
    struct bytes profile;          /* 265: Arm's newer profile only */
    struct cca_unknowns unknown;
};

struct cca_component {
    struct bytes type;        /* 1 */
    struct bytes measurement; /* 2 */
    struct bytes version;     /* 4 */
    struct bytes signer_id;   /* 5 */
    struct bytes hash_alg;    /* 6 */
    struct cca_unknowns unknown;
};

struct cca_platform {
    struct bytes profile;           /* 265 */
    struct bytes challenge;         /* 10: H(cvm.public_key) */
    struct bytes implementation_id; /* 2396 */
    struct bytes instance_id;       /* 256 */
    struct bytes configuration;     /* 2401 */
    struct bytes hash_alg;          /* 2402 */
    struct bytes verification_url;  /* 2400, optional */
    bool has_lifecycle;
    uint64_t lifecycle; /* 2395 */
    struct cca_component components[CCA_COMPONENTS_MAX];
    size_t component_count;
    struct cca_unknowns unknown;
};

struct cca_token {
    bool has_platform;
    bool cmw;           /* tag 907, the parts in CMW records; else tag 399 */
    bool wrapped_twice; /* virtCCA: the CVM payload is a bstr within the bstr */
    struct cose_sign1 cvm_sign1;
    struct cca_cvm cvm;
    struct cose_sign1 platform_sign1; /* only with has_platform */
    struct cca_platform platform;
};

/* -EBADMSG with the byte offset on anything that is not exactly of the form above. */
int cca_token_parse(struct cca_token *ret, struct bytes in, struct error *err) _must_use_;

/*
 * The key in claim 44237: SubjectPublicKeyInfo (RSA), 04‖x‖y, or a COSE_Key (Arm's newer profile).
 * The three are told apart by their first byte.
 */
int cca_public_key(EVP_PKEY **ret, struct bytes claim, struct error *err) _must_use_;

/* ---- making tokens: the software TMM and the tests ---- */

struct cca_token_spec {
    /* Empty: personalization and registers zero, public_key that of cvm_key, both hash
     * algorithms "sha-256". The initial measurement and the challenge must be given. */
    struct cca_cvm cvm;
    EVP_PKEY *cvm_key;
    bool cose_key;   /* an elliptic public_key, unless given, as COSE_Key */
    bool wrap_twice; /* as virtCCA does */
    bool cmw;        /* tag 907 */
    /* NULL: no platform token. Its challenge, if empty, is computed. */
    const struct cca_platform *platform;
    EVP_PKEY *platform_key;
};
/* The finished token is appended to `ret`. */
int cca_token_create(struct buffer *ret, const struct cca_token_spec *spec,
                     struct error *err) _must_use_;

/* The stages of the above, without defaults or judgement: empty views are left out. */
int cca_cvm_encode(struct buffer *ret, const struct cca_cvm *c) _must_use_;
int cca_platform_encode(struct buffer *ret, const struct cca_platform *p) _must_use_;
/* Tag 399 (with `cmw`: 907) around finished COSE_Sign1 messages; an empty one is left out. */
int cca_token_wrap(struct buffer *ret, bool cmw, struct bytes platform,
                   struct bytes cvm) _must_use_;

#endif
