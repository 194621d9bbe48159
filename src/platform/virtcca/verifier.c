#include "platform/virtcca/verifier.h"
#include "platform/virtcca/checks.h"

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
    enum hash_alg alg = virtcca_hash(cvm->hash_alg);
    if (alg == HASH_NONE || hash_size(alg) != cvm->initial.size)
        return;
    ret->hash = alg;
    fill_digest(&ret->initial, alg, cvm->initial);
    for (size_t i = 0; i < CCA_REGISTERS; i++)
        fill_digest(&ret->extended[i + 1], alg, cvm->extended[i]);
}

static void run_checks(const struct check *table, struct verification *v)
{
    for (; table->name; table++) {
        size_t before = v->f->count;
        table->run(v, table->name);
        /* A check that says nothing has not been made. */
        if (v->f->count == before)
            finding_add(v->f, table->name, VERDICT_REJECT, "a result", "none");
    }
}

static int virtcca_verify(const struct evidence *e, const uint8_t challenge[CHALLENGE_SIZE],
                          const struct trust_anchors *anchors, struct findings *f,
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
    struct verification v = {
        .token = &token,
        .challenge = challenge,
        .anchors = anchors,
        .certificate_file = buffer_bytes(&e->certificate),
        .f = f,
    };
    run_checks(virtcca_checks_always, &v);
    run_checks(token.has_platform ? virtcca_checks_with_platform : virtcca_checks_cvm_alone, &v);
    X509_free(v.certificate);
    EVP_PKEY_free(v.cvm_key);
    fill_claims(claims, &token.cvm);
    return 0;
}

const struct platform_verifier virtcca_verifier = {
    .name = "virtcca",
    .verify = virtcca_verify,
};
