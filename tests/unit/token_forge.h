/*
 * A generator of virtCCA evidence: starts from what a genuine machine would say, and lets a test
 * change any one thing before it is encoded, signed or handed over.
 */
#ifndef ENCROOT_TESTS_TOKEN_FORGE_H
#define ENCROOT_TESTS_TOKEN_FORGE_H

#include "chain.h"
#include "token/cbor.h"
#include "token/cca.h"
#include "protocol/evidence.h"

enum forge_signature {
    FORGE_SIGN = 0,
    FORGE_SIGN_DER, /* as P-521 firmware may */
    FORGE_ZEROS,
    FORGE_EMPTY,
    FORGE_FLIPPED, /* one bit */
};

struct forge {
    /* what is said */
    struct cca_cvm cvm;
    struct cca_platform platform;
    bool with_platform;
    bool wrap_twice;
    bool cmw; /* tag 907 */
    /* how it is signed */
    EVP_PKEY *cvm_signer, *platform_signer;
    enum forge_signature cvm_signature, platform_signature;
    /* what comes with it; NULL: no certificate */
    X509 *certificate;
    bool certificate_pem;
    /* what the verifier is told */
    uint8_t expected_challenge[CHALLENGE_SIZE];
    /* the values behind the views */
    uint8_t challenge[CHALLENGE_SIZE], personalization[64], rim[64], rem[CCA_REGISTERS][64];
    uint8_t instance[33], implementation[32], measurement[32];
    struct buffer public_key;
    struct digest binding;
};

/* The CVM's key becomes the key that is claimed and bound, and that signs. */
static inline int forge_set_key(struct forge *f, EVP_PKEY *key)
{
    struct error e = {0};
    f->public_key.size = 0;
    int r = EVP_PKEY_is_a(key, "RSA") ? public_key_to_spki(key, &f->public_key, &e)
                                      : public_key_to_point(key, &f->public_key, &e);
    f->cvm_signer = key;
    f->cvm.public_key = buffer_bytes(&f->public_key);
    if (r == 0)
        r = digest_compute(&f->binding, HASH_SHA256, f->cvm.public_key);
    f->platform.challenge = digest_bytes(&f->binding);
    return r;
}

static inline void forge_platform(struct forge *f)
{
    f->platform = (struct cca_platform){
        .profile = BYTES_STR("http://arm.com/CCA-SSD/1.0.0"),
        .challenge = digest_bytes(&f->binding),
        .implementation_id = BYTES_OF(f->implementation),
        .instance_id = BYTES_OF(f->instance),
        .configuration = BYTES_STR("configuration"),
        .hash_alg = BYTES_STR("sha-256"),
        .has_lifecycle = true,
        .lifecycle = 0x3003,
        .component_count = 1,
        .components[0] = {.type = BYTES_STR("imu"),
                          .measurement = BYTES_OF(f->measurement),
                          .version = BYTES_STR("1.2.3"),
                          .signer_id = BYTES_OF(f->measurement)},
    };
}

static inline int forge_init(struct forge *f, EVP_PKEY *cvm_key, const struct chain *c,
                             bool with_platform)
{
    memset(f, 0, sizeof(*f));
    memset(f->challenge, 0xc7, sizeof(f->challenge));
    memset(f->expected_challenge, 0xc7, sizeof(f->expected_challenge));
    memset(f->instance, 0x01, sizeof(f->instance));
    memset(f->implementation, 0x02, sizeof(f->implementation));
    memset(f->measurement, 0x03, sizeof(f->measurement));
    memset(f->rim, 0x10, sizeof(f->rim));
    f->cvm = (struct cca_cvm){
        .challenge = BYTES_OF(f->challenge),
        .personalization = BYTES_OF(f->personalization),
        .initial = BYTES(f->rim, 32),
        .hash_alg = BYTES_STR("sha-256"),
        .binding_hash_alg = BYTES_STR("sha-256"),
    };
    for (size_t i = 0; i < CCA_REGISTERS; i++) {
        memset(f->rem[i], 0x20 + (int)i, sizeof(f->rem[i]));
        f->cvm.extended[i] = BYTES(f->rem[i], 32);
    }
    f->with_platform = with_platform;
    f->wrap_twice = true;
    f->platform_signer = c->aik_key;
    f->certificate = c->aik;
    forge_platform(f);
    return forge_set_key(f, cvm_key);
}

static inline void forge_free(struct forge *f)
{
    buffer_free(&f->public_key);
}

/* Sign `payload`, then do to the signature what is asked for. */
static inline int forge_envelope(struct buffer *ret, EVP_PKEY *key, enum forge_signature how,
                                 struct bytes payload)
{
    static const uint8_t zeros[512];
    _buffer_ struct buffer message = {0};
    _buffer_ struct buffer der = {0};
    struct cose_sign1 s;
    struct error e = {0};
    int r = cose_sign1_create(&message, key, payload, &e);
    if (r == 0)
        r = cose_sign1_parse(&s, buffer_bytes(&message), 0, &e);
    if (r < 0)
        return r;
    if (how == FORGE_SIGN_DER) {
        r = signature_raw_to_der(s.signature, &der, &e);
        s.signature = buffer_bytes(&der);
    } else if (how == FORGE_ZEROS) {
        s.signature = BYTES(zeros, s.signature.size);
    } else if (how == FORGE_EMPTY) {
        s.signature = BYTES_NONE;
    } else if (how == FORGE_FLIPPED) {
        message.data[message.size - 1] ^= 1; /* the signature ends the message */
    }
    return r < 0 ? r : cose_sign1_encode(ret, &s);
}

static inline int forge_token(const struct forge *f, struct buffer *ret)
{
    _buffer_ struct buffer map = {0};
    _buffer_ struct buffer wrapped = {0};
    _buffer_ struct buffer platform_map = {0};
    _buffer_ struct buffer cvm = {0};
    _buffer_ struct buffer platform = {0};
    struct cbor_writer w = {.out = &wrapped};
    int r = cca_cvm_encode(&map, &f->cvm);
    cbor_put_bytes(&w, buffer_bytes(&map));
    if (r == 0)
        r = w.error;
    if (r == 0)
        r = forge_envelope(&cvm, f->cvm_signer, f->cvm_signature,
                           buffer_bytes(f->wrap_twice ? &wrapped : &map));
    if (r == 0 && f->with_platform)
        r = cca_platform_encode(&platform_map, &f->platform);
    if (r == 0 && f->with_platform)
        r = forge_envelope(&platform, f->platform_signer, f->platform_signature,
                           buffer_bytes(&platform_map));
    return r < 0 ? r : cca_token_wrap(ret, f->cmw, buffer_bytes(&platform), buffer_bytes(&cvm));
}

static inline int forge_evidence(const struct forge *f, struct evidence *ret)
{
    memset(ret, 0, sizeof(*ret));
    snprintf(ret->platform, sizeof(ret->platform), "virtcca");
    int r = forge_token(f, &ret->token);
    if (r == 0 && f->certificate)
        r = certificate_encode(f->certificate, f->certificate_pem, &ret->certificate, NULL);
    return r;
}

#endif
