/*
 * CCA tokens of every form against a platform key that is given: virtCCA's and Arm's pass through
 * one function, and one defect is refused by the check that is there for it.
 */
#include "unit.h"
#include "crypto/key_file.h"
#include "platform/cca/token_verify.h"
#include "shared_data.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>

static EVP_PKEY *rsa, *rsa_other, *p521, *p521_other, *p384, *p384_other, *p256;

static int setup(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(4096);
    rsa_other = EVP_RSA_gen(4096);
    p521 = EVP_EC_gen("P-521");
    p521_other = EVP_EC_gen("P-521");
    p384 = EVP_EC_gen("P-384");
    p384_other = EVP_EC_gen("P-384");
    p256 = EVP_EC_gen("P-256");
    return rsa && rsa_other && p521 && p521_other && p384 && p384_other && p256 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(rsa_other);
    EVP_PKEY_free(p521);
    EVP_PKEY_free(p521_other);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(p384_other);
    EVP_PKEY_free(p256);
    return 0;
}

#define ARM_OLD "http://arm.com/CCA-SSD/1.0.0"
#define ARM_NEW "tag:arm.com,2023:cca_platform#1.0.0"
#define ARM_REALM "tag:arm.com,2023:realm#1.0.0"

struct form {
    const char *name;
    EVP_PKEY **cvm, **platform; /* platform NULL: no platform part */
    const char *profile, *realm_profile, *binding;
    bool twice, cose_key, cmw;
};

static const struct form forms[] = {
    {"virtCCA, RSA alone", &rsa, NULL, NULL, NULL, "sha-256", .twice = true},
    {"virtCCA, RSA alone, plain", &rsa, NULL, NULL, NULL, "sha-256"},
    {"virtCCA, RSA", &rsa, &rsa_other, ARM_OLD, NULL, "sha-256", .twice = true},
    {"virtCCA, P-521", &p521, &p521_other, ARM_OLD, NULL, "sha-256", .twice = true},
    {"virtCCA, P-521, plain", &p521, &p521_other, ARM_OLD, NULL, "sha-512"},
    {"Arm, old profile", &p384, &p384_other, ARM_OLD, NULL, "sha-256"},
    {"Arm, old profile, SHA-512", &p384, &p384_other, ARM_OLD, NULL, "sha-512"},
    {"Arm, old profile, ES256", &p384, &p256, ARM_OLD, NULL, "sha-512"},
    {"Arm, new profile", &p384, &p384_other, ARM_NEW, ARM_REALM, "sha-256", .cose_key = true},
    {"Arm, new profile, ES256", &p384, &p256, ARM_NEW, ARM_REALM, "sha-512", .cose_key = true},
    {"Arm, tag 907", &p384, &p384_other, ARM_NEW, ARM_REALM, "sha-512", .cose_key = true,
     .cmw = true},
};

struct sample {
    uint8_t challenge[64], measurement[32], id[33];
    struct cca_platform platform;
    struct cca_token_spec spec;
    EVP_PKEY *given; /* the platform key that is told to the verifier */
    bool der;        /* sign as P-521 firmware may */
    bool zero_cvm, zero_platform;
};

static void genuine(struct sample *s, const struct form *f)
{
    memset(s, 0, sizeof(*s));
    memset(s->challenge, 0xc7, sizeof(s->challenge));
    memset(s->measurement, 0x44, sizeof(s->measurement));
    s->id[0] = 1;
    s->platform = (struct cca_platform){
        .implementation_id = BYTES(s->id, 32),
        .instance_id = BYTES_OF(s->id),
        .configuration = BYTES_STR("c"),
        .hash_alg = BYTES_STR("sha-256"),
        .has_lifecycle = true,
        .lifecycle = 0x3000,
        .component_count = 1,
        .components[0] = {.measurement = BYTES_OF(s->measurement),
                          .signer_id = BYTES_OF(s->measurement)},
    };
    s->spec = (struct cca_token_spec){
        .cvm = {.challenge = BYTES_OF(s->challenge),
                .initial = BYTES_OF(s->measurement),
                .binding_hash_alg = BYTES_STR(f->binding)},
        .cvm_key = *f->cvm,
        .cose_key = f->cose_key,
        .wrap_twice = f->twice,
        .cmw = f->cmw,
    };
    if (f->realm_profile)
        s->spec.cvm.profile = BYTES_STR(f->realm_profile);
    if (f->platform) {
        s->platform.profile = BYTES_STR(f->profile);
        s->spec.platform = &s->platform;
        s->spec.platform_key = *f->platform;
    }
    s->given = f->platform ? *f->platform : *f->cvm;
}

static void as_der(struct cose_sign1 *m, struct buffer *der)
{
    struct error e = {0};
    der->size = 0;
    assert_int_equal(signature_raw_to_der(m->signature, der, &e), 0);
    m->signature = buffer_bytes(der);
}

/* Encode, parse, and verify. */
static void verify(const struct sample *s, struct findings *ret)
{
    static const uint8_t zeros[512];
    struct error e = {0};
    struct cca_token t;
    _buffer_ struct buffer token = {0};
    struct buffer der[2] = {{0}};
    if (cca_token_create(&token, &s->spec, &e) < 0 ||
        cca_token_parse(&t, buffer_bytes(&token), &e) < 0)
        fail_msg("%s", e.text);
    if (s->der)
        as_der(&t.cvm_sign1, &der[0]);
    if (s->der && t.has_platform)
        as_der(&t.platform_sign1, &der[1]);
    if (s->zero_cvm)
        t.cvm_sign1.signature = BYTES(zeros, t.cvm_sign1.signature.size);
    if (s->zero_platform)
        t.platform_sign1.signature = BYTES(zeros, t.platform_sign1.signature.size);
    cca_token_verify(&t, s->given, ret);
    buffer_free(&der[0]);
    buffer_free(&der[1]);
}

/* Nothing but `check` rejects; NULL: nothing does. */
static void assert_refused_by(const struct findings *f, const char *check, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].verdict == VERDICT_REJECT &&
            (!check || strcmp(f->list[i].check, check) != 0))
            fail_msg("%s: %s: expected %s, found %s", name, f->list[i].check, f->list[i].expected,
                     f->list[i].found);
    assert_int_equal(findings_pass(f), !check);
}

static void every_form_verifies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
        for (int der = 0; der <= (*forms[i].cvm == p521); der++) {
            struct sample s;
            _findings_ struct findings f = {0};
            genuine(&s, &forms[i]);
            s.der = der;
            verify(&s, &f);
            assert_refused_by(&f, NULL, forms[i].name);
            assert_int_equal(f.count, forms[i].platform ? 6 : 5);
        }
}

/* ---- one defect each ---- */

static void other_key_given(struct sample *s)
{
    s->given = EVP_PKEY_is_a(s->given, "RSA") ? (s->given == rsa ? rsa_other : rsa)
               : s->given == p256             ? p384
               : s->given == p384_other       ? p384
                                              : p521;
}
static void no_key_given(struct sample *s)
{
    s->given = NULL;
}
static void cvm_signature_zero(struct sample *s)
{
    s->zero_cvm = true;
}
static void platform_signature_zero(struct sample *s)
{
    s->zero_platform = true;
}
static void platform_dropped(struct sample *s)
{
    s->spec.platform = NULL;
}
/* E3: the CVM's key is even that which the verifier was given. */
static void platform_dropped_cvm_key_given(struct sample *s)
{
    s->spec.platform = NULL;
    s->given = s->spec.cvm_key;
}
static const uint8_t zero_binding[64];
static void bound_to_another(struct sample *s)
{
    s->platform.challenge =
        BYTES(zero_binding, s->spec.cvm.binding_hash_alg.data[4] == '2' ? 32 : 64);
}
static void bound_by_a_weak_hash(struct sample *s)
{
    s->platform.challenge = BYTES(zero_binding, 32);
    s->spec.cvm.binding_hash_alg = BYTES_STR("sha-1");
}

static const struct {
    const char *name;
    void (*defect)(struct sample *s);
    const char *alone, *with_platform; /* the check that refuses it; NULL: does not apply */
} defects[] = {
    {"E15 another platform's key", other_key_given, "token.platform.binding",
     "token.platform.signature"},
    {"E2 CVM signature of zeros", cvm_signature_zero, "token.cvm.signature", "token.cvm.signature"},
    {"E2 platform signature of zeros", platform_signature_zero, NULL, "token.platform.signature"},
    {"E4 platform part dropped", platform_dropped, NULL, "token.platform.binding"},
    {"bound to another CVM's key", bound_to_another, NULL, "token.platform.binding"},
    {"bound by SHA-1", bound_by_a_weak_hash, NULL, "token.platform.binding"},
};

static void each_defect_is_refused_by_its_check(void **state)
{
    (void)state;
    for (size_t d = 0; d < ARRAY_SIZE(defects); d++)
        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
            const char *check = forms[i].platform ? defects[d].with_platform : defects[d].alone;
            struct sample s;
            char name[128];
            _findings_ struct findings f = {0};
            if (!check)
                continue;
            snprintf(name, sizeof(name), "%s, %s", forms[i].name, defects[d].name);
            genuine(&s, &forms[i]);
            defects[d].defect(&s);
            verify(&s, &f);
            assert_refused_by(&f, check, name);
        }
}

static void an_elliptic_key_alone_is_vouched_for_by_nobody(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct sample s;
        _findings_ struct findings f = {0};
        if (!forms[i].platform)
            continue;
        genuine(&s, &forms[i]);
        platform_dropped_cvm_key_given(&s);
        verify(&s, &f);
        if (*forms[i].cvm == rsa) {
            assert_refused_by(&f, NULL, forms[i].name);
            continue;
        }
        assert_refused_by(&f, "token.platform.binding", forms[i].name);
        assert_string_equal(findings_first_reject(&f)->found, "none, and the key is not RSA");
    }
}

static void without_a_key_nothing_verifies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct sample s;
        _findings_ struct findings f = {0};
        genuine(&s, &forms[i]);
        no_key_given(&s);
        verify(&s, &f);
        assert_int_equal(f.rejected, 2);
        assert_string_equal(findings_first_reject(&f)->check, "token.platform.key");
    }
}

/* A small RSA key or P-256 for the CVM's is of no CCA platform. */
static void keys_of_other_kinds_are_refused(void **state)
{
    (void)state;
    _evp_pkey_ EVP_PKEY *small = EVP_RSA_gen(3072);
    struct sample s;
    _findings_ struct findings platform = {0};
    genuine(&s, &forms[2]);
    s.spec.platform_key = s.given = small;
    verify(&s, &platform);
    assert_refused_by(&platform, "token.platform.key", "RSA-3072");
}

/* ---- public tokens, VIRTCCA section 7 ---- */

static void public_tokens_verify_with_their_own_key_only(void **state)
{
    (void)state;
    static const struct {
        const char *token, *key, *refused_by;
    } pairs[] = {
        {"cca-token-01.cbor", "cca-token-01-cpak.json", NULL},
        {"cca-token-02.cbor", "cca-token-02-key.json", NULL},
        {"cca-token-01.cbor", "cca-token-02-key.json", "token.platform.signature"},
        {"cca-token-02.cbor", "cca-token-01-cpak.json", "token.platform.signature"},
        {"virtcca-cvm-rsa.cbor", "virtcca-aik-cert.der", "token.platform.binding"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        char path[2][128];
        struct cca_token t;
        struct error e = {0};
        _buffer_ struct buffer token = {0}, file = {0};
        _evp_pkey_ EVP_PKEY *key = NULL;
        _findings_ struct findings f = {0};
        snprintf(path[0], sizeof(path[0]), "tokens/%s", pairs[i].token);
        snprintf(path[1], sizeof(path[1]), "tokens/%s", pairs[i].key);
        if (!read_shared(path[0], &token) || !read_shared(path[1], &file))
            skip();
        assert_int_equal(key_file_parse(&key, buffer_bytes(&file), "key", &e), 0);
        assert_int_equal(cca_token_parse(&t, buffer_bytes(&token), &e), 0);
        cca_token_verify(&t, key, &f);
        assert_refused_by(&f, pairs[i].refused_by, pairs[i].token);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_verifies),
        cmocka_unit_test(each_defect_is_refused_by_its_check),
        cmocka_unit_test(an_elliptic_key_alone_is_vouched_for_by_nobody),
        cmocka_unit_test(without_a_key_nothing_verifies),
        cmocka_unit_test(keys_of_other_kinds_are_refused),
        cmocka_unit_test(public_tokens_verify_with_their_own_key_only),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
