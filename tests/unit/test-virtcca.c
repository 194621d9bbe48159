/*
 * virtCCA evidence in every accepted form, and each attack on it as one defect. The names of the
 * attacks (E1 to E15) are those of SECURITY.md.
 */
#include "unit.h"
#include "platform/platform.h"
#include "shared_data.h"
#include "token_forge.h"

static EVP_PKEY *rsa_rak, *ecc_rak;
static struct chain rsa, ecc, forged;
static struct trust_anchors *rsa_anchors, *ecc_anchors;

static int setup(void **state)
{
    (void)state;
    rsa_rak = EVP_RSA_gen(4096);
    ecc_rak = EVP_EC_gen("P-521");
    if (chain_make(&rsa, "rsa", EVP_RSA_gen(4096)) ||
        chain_make(&ecc, "ecc", EVP_EC_gen("P-521")) ||
        chain_make(&forged, "ecc", EVP_EC_gen("P-521")))
        return -1;
    rsa_anchors = chain_anchors(&rsa);
    ecc_anchors = chain_anchors(&ecc);
    return rsa_anchors && ecc_anchors ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa_rak);
    EVP_PKEY_free(ecc_rak);
    chain_free(&rsa);
    chain_free(&ecc);
    chain_free(&forged);
    trust_anchors_free(rsa_anchors);
    trust_anchors_free(ecc_anchors);
    return 0;
}

/* ---- forms ---- */

enum form { RSA_ALONE, RSA_PLATFORM, ECC_PLATFORM, FORMS };

static void genuine(struct forge *f, enum form form)
{
    const struct chain *c = form == ECC_PLATFORM ? &ecc : &rsa;
    EVP_PKEY *key = form == RSA_ALONE ? c->aik_key : form == RSA_PLATFORM ? rsa_rak : ecc_rak;
    assert_int_equal(forge_init(f, key, c, form != RSA_ALONE), 0);
    f->certificate_pem = form == ECC_PLATFORM;
}

static int verify(const struct evidence *e, const struct forge *f, const struct trust_anchors *a,
                  struct findings *findings, struct platform_claims *claims)
{
    struct error err = {0};
    const struct platform_verifier *v = platform_verifier_by_name("virtcca");
    assert_non_null(v);
    const struct platform_policy policy = {.anchors = a, .waivers = WAIVERS_ALL};
    return v->verify(e, f->expected_challenge, &policy, findings, claims, &err);
}

static const char *current = ""; /* the case under test */

static void say(const struct findings *f)
{
    print_error("%s:\n", current);
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].verdict == VERDICT_REJECT)
            print_error("  %s: expected %s, found %s\n", f->list[i].check, f->list[i].expected,
                        f->list[i].found);
}

/* Exactly these checks reject: NULL-terminated. */
static void assert_rejected_by(const struct findings *f, const char *const checks[])
{
    size_t n = 0;
    for (; checks[n]; n++) {
        bool found = false;
        for (size_t i = 0; i < f->count; i++)
            found |=
                f->list[i].verdict == VERDICT_REJECT && strcmp(f->list[i].check, checks[n]) == 0;
        if (!found) {
            say(f);
            fail_msg("%s did not reject", checks[n]);
        }
    }
    if (f->rejected != n) {
        say(f);
        fail_msg("%zu checks reject, expected %zu", f->rejected, n);
    }
    assert_int_equal(findings_pass(f), n == 0);
}

static const struct trust_anchors *anchors_of(enum form form)
{
    return form == ECC_PLATFORM ? ecc_anchors : rsa_anchors;
}

static void genuine_evidence_passes_in_every_form(void **state)
{
    (void)state;
    for (int form = 0; form < FORMS; form++) {
        struct forge f;
        _findings_ struct findings found = {0};
        _evidence_ struct evidence e;
        struct platform_claims claims = {0};
        genuine(&f, form);
        assert_int_equal(forge_evidence(&f, &e), 0);
        assert_int_equal(verify(&e, &f, anchors_of(form), &found, &claims), 0);
        assert_rejected_by(&found, (const char *const[]){NULL});

        assert_int_equal(claims.hash, HASH_SHA256);
        assert_int_equal(claims.register_count, 5);
        assert_memory_equal(claims.initial.bytes, f.rim, 32);
        assert_int_equal(claims.extended[0].size, 0);
        for (size_t i = 0; i < CCA_REGISTERS; i++)
            assert_memory_equal(claims.extended[i + 1].bytes, f.rem[i], 32);
        assert_memory_equal(claims.challenge, f.challenge, CHALLENGE_SIZE);
        forge_free(&f);
    }
}

/* Changes that a genuine machine may show. */
static void der(struct forge *f)
{
    f->cvm_signature = f->platform_signature = FORGE_SIGN_DER;
}
static void plain_payload(struct forge *f)
{
    f->wrap_twice = false;
}
static void unknown_claim(struct forge *f)
{
    f->cvm.unknown.list[0] = (struct cca_unknown){.label = 4711, .value = BYTES("\x01", 1)};
    f->cvm.unknown.list[1] =
        (struct cca_unknown){.text_label = BYTES_STR("\x1b[2J"), .value = BYTES("\x01", 1)};
    f->cvm.unknown.count = 2;
}
static void personalized(struct forge *f)
{
    f->personalization[0] = 1;
}
static void sha512_binding(struct forge *f)
{
    assert_int_equal(digest_compute(&f->binding, HASH_SHA512, f->cvm.public_key), 0);
    f->platform.challenge = digest_bytes(&f->binding);
    f->cvm.binding_hash_alg = BYTES("sha-512\0", 8);
}
static void sha512_registers(struct forge *f)
{
    f->cvm.hash_alg = BYTES_STR("sha-512");
    f->cvm.initial.size = 64;
    for (size_t i = 0; i < CCA_REGISTERS; i++)
        f->cvm.extended[i].size = 64;
}

static void variants_of_genuine_evidence_pass(void **state)
{
    (void)state;
    static const struct {
        enum form form;
        void (*change)(struct forge *);
    } variants[] = {
        {ECC_PLATFORM, der},
        {ECC_PLATFORM, plain_payload},
        {RSA_ALONE, plain_payload},
        {ECC_PLATFORM, unknown_claim},
        {RSA_ALONE, personalized},
        {ECC_PLATFORM, sha512_binding},
        {RSA_PLATFORM, sha512_binding},
        {ECC_PLATFORM, sha512_registers},
    };
    for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
        struct forge f;
        _findings_ struct findings found = {0};
        _evidence_ struct evidence e;
        struct platform_claims claims = {0};
        genuine(&f, variants[i].form);
        variants[i].change(&f);
        assert_int_equal(forge_evidence(&f, &e), 0);
        assert_int_equal(verify(&e, &f, anchors_of(variants[i].form), &found, &claims), 0);
        assert_rejected_by(&found, (const char *const[]){NULL});
        for (size_t k = 0; k < found.count; k++)
            assert_null(found.list[k].found ? strchr(found.list[k].found, 0x1b) : NULL);
        forge_free(&f);
    }
}

/* ---- attacks, one defect each ---- */

static void zero_cvm_signature(struct forge *f)
{
    f->cvm_signature = FORGE_ZEROS;
}
static void empty_cvm_signature(struct forge *f)
{
    f->cvm_signature = FORGE_EMPTY;
}
static void flipped_cvm_signature(struct forge *f)
{
    f->cvm_signature = FORGE_FLIPPED;
}
static void zero_platform_signature(struct forge *f)
{
    f->platform_signature = FORGE_ZEROS;
}
static void flipped_platform_signature(struct forge *f)
{
    f->platform_signature = FORGE_FLIPPED;
}
/* The attacker's own CVM key, consistently claimed and signed with, but bound by nobody. */
static void own_cvm_key(struct forge *f)
{
    struct digest genuine_binding = f->binding;
    assert_int_equal(forge_set_key(f, forged.aik_key), 0);
    f->binding = genuine_binding;
}
static void own_rsa_key(struct forge *f)
{
    assert_int_equal(forge_set_key(f, rsa_rak), 0);
}
static void signed_by_another_key(struct forge *f)
{
    f->cvm_signer = f->cvm_signer == rsa_rak ? rsa.aik_key : forged.aik_key;
}
static void own_authority(struct forge *f)
{
    f->platform_signer = forged.aik_key;
    f->certificate = forged.aik;
}
static void own_root_as_certificate(struct forge *f)
{
    f->platform_signer = forged.root_key;
    f->certificate = forged.root;
}
static void genuine_root_as_certificate(struct forge *f)
{
    f->certificate = ecc.root;
}
static void intermediate_as_aik(struct forge *f)
{
    f->platform_signer = ecc.intermediate_key;
    f->certificate = ecc.intermediate;
}
static void certificate_of_another_machine(struct forge *f)
{
    static X509 *other; /* genuine: issued by the pinned authority */
    if (!other) {
        const struct certificate_request req = {.name = "other AIK",
                                                .key = ecc_rak,
                                                .issuer = ecc.intermediate,
                                                .issuer_key = ecc.intermediate_key};
        assert_int_equal(certificate_issue(&other, &req, NULL), 0);
    }
    f->certificate = other;
}
static void no_certificate(struct forge *f)
{
    f->certificate = NULL;
}
static void no_platform(struct forge *f)
{
    f->with_platform = false;
}
/* The platform's key itself, on P-521: no such form of token exists. */
static void platform_key_as_cvm_key(struct forge *f)
{
    f->with_platform = false;
    assert_int_equal(forge_set_key(f, ecc.aik_key), 0);
}
static void other_challenge(struct forge *f)
{
    f->challenge[63] ^= 1;
}
static void other_binding(struct forge *f)
{
    f->binding.bytes[31] ^= 1;
}
static void sha1_binding(struct forge *f)
{
    f->cvm.binding_hash_alg = BYTES_STR("sha-1");
}
static void lying_binding_hash(struct forge *f)
{
    f->cvm.binding_hash_alg = BYTES_STR("sha-512");
}
static void unknown_hash(struct forge *f)
{
    f->cvm.hash_alg = BYTES_STR("md5");
}
static void lying_register_hash(struct forge *f)
{
    f->cvm.hash_alg = BYTES_STR("sha-512");
}
static void debug_lifecycle(struct forge *f)
{
    f->platform.lifecycle = 0x4000; /* non-CCA platform debug */
}
static void lifecycle_below(struct forge *f)
{
    f->platform.lifecycle = 0x2fff;
}
static void lifecycle_beyond(struct forge *f)
{
    f->platform.lifecycle = 0x3100;
}
static void lifecycle_huge(struct forge *f)
{
    f->platform.lifecycle = UINT64_C(0x3000) << 32;
}
static void p384_key(struct forge *f)
{
    static EVP_PKEY *p384; /* fit for native Arm CCA, not for virtCCA */
    if (!p384)
        p384 = EVP_EC_gen("P-384");
    assert_int_equal(forge_set_key(f, p384), 0);
}

#define REJECTS(...) .checks = {__VA_ARGS__, NULL}
static const struct attack {
    const char *name;
    enum form form;
    void (*defect)(struct forge *);
    const char *checks[5];
} attacks[] = {
    {"E1 own authority", ECC_PLATFORM, own_authority, REJECTS("token.platform.chain")},
    {"E1 own root", ECC_PLATFORM, own_root_as_certificate,
     REJECTS("token.platform.certificate", "token.platform.chain")},
    {"E1 genuine root sent along", ECC_PLATFORM, genuine_root_as_certificate,
     REJECTS("token.platform.certificate", "token.platform.chain", "token.platform.signature")},
    {"E1 an authority's key", ECC_PLATFORM, intermediate_as_aik,
     REJECTS("token.platform.certificate")},
    {"E1 signed by another", ECC_PLATFORM, signed_by_another_key, REJECTS("token.cvm.signature")},
    {"E1 signed by another, RSA", RSA_PLATFORM, signed_by_another_key,
     REJECTS("token.cvm.signature")},
    {"E2 zero signature", RSA_ALONE, zero_cvm_signature, REJECTS("token.cvm.signature")},
    {"E2 zero signature", ECC_PLATFORM, zero_cvm_signature, REJECTS("token.cvm.signature")},
    {"E2 zero signature", RSA_PLATFORM, zero_cvm_signature, REJECTS("token.cvm.signature")},
    {"E2 no signature", RSA_ALONE, empty_cvm_signature, REJECTS("token.cvm.signature")},
    {"E2 one bit", RSA_ALONE, flipped_cvm_signature, REJECTS("token.cvm.signature")},
    {"E2 one bit", ECC_PLATFORM, flipped_cvm_signature, REJECTS("token.cvm.signature")},
    {"E2 platform, zeros", ECC_PLATFORM, zero_platform_signature,
     REJECTS("token.platform.signature")},
    {"E2 platform, one bit", RSA_PLATFORM, flipped_platform_signature,
     REJECTS("token.platform.signature")},
    {"E3 P-521 vouched for by nobody", ECC_PLATFORM, no_platform,
     REJECTS("token.platform.binding")},
    {"E3 P-521, the platform's own key", ECC_PLATFORM, platform_key_as_cvm_key,
     REJECTS("token.platform.binding")},
    {"E3 P-521 key of the attacker's", ECC_PLATFORM, own_cvm_key,
     REJECTS("token.platform.binding")},
    {"E3 RSA key of the attacker's", RSA_ALONE, own_rsa_key, REJECTS("token.platform.binding")},
    {"E4 platform token dropped", RSA_PLATFORM, no_platform, REJECTS("token.platform.binding")},
    {"E4 certificate dropped", RSA_ALONE, no_certificate,
     REJECTS("token.platform.certificate", "token.platform.chain", "token.platform.binding")},
    {"E4 certificate dropped", ECC_PLATFORM, no_certificate,
     REJECTS("token.platform.certificate", "token.platform.chain", "token.platform.signature")},
    {"binding to another key", ECC_PLATFORM, other_binding, REJECTS("token.platform.binding")},
    {"binding by SHA-1", ECC_PLATFORM, sha1_binding, REJECTS("token.platform.binding")},
    {"binding by another hash", RSA_PLATFORM, lying_binding_hash,
     REJECTS("token.platform.binding")},
    {"registers by MD5", ECC_PLATFORM, unknown_hash, REJECTS("token.cvm.hash")},
    {"registers of another size", ECC_PLATFORM, lying_register_hash, REJECTS("token.cvm.hash")},
    {"E11 debug", ECC_PLATFORM, debug_lifecycle, REJECTS("token.platform.lifecycle")},
    {"E11 below", ECC_PLATFORM, lifecycle_below, REJECTS("token.platform.lifecycle")},
    {"E11 beyond", RSA_PLATFORM, lifecycle_beyond, REJECTS("token.platform.lifecycle")},
    {"E11 huge", RSA_PLATFORM, lifecycle_huge, REJECTS("token.platform.lifecycle")},
    {"E14 another challenge", RSA_ALONE, other_challenge, REJECTS("token.challenge")},
    {"E14 another challenge", ECC_PLATFORM, other_challenge, REJECTS("token.challenge")},
    {"E15 certificate of another machine", ECC_PLATFORM, certificate_of_another_machine,
     REJECTS("token.platform.signature")},
    {"a key that virtCCA has not", ECC_PLATFORM, p384_key, REJECTS("token.cvm.key")},
};

static void every_attack_is_refused_for_its_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
        struct forge f;
        _findings_ struct findings found = {0};
        _evidence_ struct evidence e;
        struct platform_claims claims = {0};
        genuine(&f, attacks[i].form);
        attacks[i].defect(&f);
        assert_int_equal(forge_evidence(&f, &e), 0);
        current = attacks[i].name;
        assert_int_equal(verify(&e, &f, anchors_of(attacks[i].form), &found, &claims), 0);
        assert_rejected_by(&found, attacks[i].checks);
        forge_free(&f);
    }
}

/* The same machine, another operator: nothing is pinned, or another vendor. */
static void anchors_of_others_trust_nothing_here(void **state)
{
    (void)state;
    struct forge f;
    struct error err = {0};
    _trust_anchors_ struct trust_anchors *none = NULL;
    assert_int_equal(trust_anchors_new(&none, &err), 0);
    const struct trust_anchors *const others[] = {none, rsa_anchors};
    genuine(&f, ECC_PLATFORM);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        _findings_ struct findings found = {0};
        _evidence_ struct evidence e;
        struct platform_claims claims = {0};
        assert_int_equal(forge_evidence(&f, &e), 0);
        assert_int_equal(verify(&e, &f, others[i], &found, &claims), 0);
        assert_rejected_by(&found, (const char *const[]){"token.platform.chain", NULL});
    }
    forge_free(&f);
}

/* Claims whose absence or size makes the token unreadable. */
static void drop_lifecycle(struct forge *f)
{
    f->platform.has_lifecycle = false;
}
static void drop_components(struct forge *f)
{
    f->platform.component_count = 0;
}
static void drop_implementation(struct forge *f)
{
    f->platform.implementation_id = BYTES_NONE;
}
static void drop_challenge(struct forge *f)
{
    f->cvm.challenge = BYTES_NONE;
}
static void drop_binding(struct forge *f)
{
    f->platform.challenge = BYTES_NONE;
}
static void drop_registers(struct forge *f)
{
    f->cvm.extended[0] = BYTES_NONE;
}
static void short_challenge(struct forge *f)
{
    f->cvm.challenge.size = 63;
}
static void short_register(struct forge *f)
{
    f->cvm.extended[2].size = 31;
}
static void short_key(struct forge *f)
{
    f->cvm.public_key.size = 132;
}
static void claim_twice(struct forge *f)
{
    f->cvm.unknown.list[0] = (struct cca_unknown){.label = 44238, .value = BYTES("\x01", 1)};
    f->cvm.unknown.count = 1;
}
static void odd_text(struct forge *f)
{
    f->cvm.hash_alg = BYTES("sha-256\0x", 9);
}

static void malformed_tokens_are_refused_whole(void **state)
{
    (void)state;
    static const struct {
        void (*defect)(struct forge *);
        const char *reason;
    } defects[] = {
        {drop_lifecycle, "claim 2395 (security lifecycle) is missing"},
        {drop_components, "claim 2399 (software components) is missing"},
        {drop_implementation, "claim 2396 (implementation_id) is missing"},
        {drop_challenge, "claim 10 (challenge) is missing"},
        {drop_binding, "claim 10 (challenge) is missing"},
        {drop_registers, "claim 44239 (extended measurements) is missing"},
        {short_challenge, "challenge has 63 bytes"},
        {short_register, "extended measurement 2 has 31 bytes"},
        {short_key, "public_key has 132 bytes"},
        {claim_twice, "duplicate key in a map"},
        {odd_text, "hash_alg has a NUL"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(defects); i++) {
        struct forge f;
        _findings_ struct findings found = {0};
        _evidence_ struct evidence e;
        struct platform_claims claims = {0};
        genuine(&f, ECC_PLATFORM);
        defects[i].defect(&f);
        assert_int_equal(forge_evidence(&f, &e), 0);
        assert_int_equal(verify(&e, &f, ecc_anchors, &found, &claims), -EBADMSG);
        assert_rejected_by(&found, (const char *const[]){"token.form", NULL});
        if (!strstr(found.list[0].found, defects[i].reason) ||
            !strstr(found.list[0].found, "offset "))
            fail_msg("expected \"%s\", got \"%s\"", defects[i].reason, found.list[0].found);
        assert_int_equal(claims.register_count, 0);
        forge_free(&f);
    }
}

/* No changed or missing byte of good evidence is accepted, wherever it is. */
static void no_flipped_byte_is_accepted(void **state)
{
    (void)state;
    struct forge f;
    _evidence_ struct evidence e;
    genuine(&f, ECC_PLATFORM);
    assert_int_equal(forge_evidence(&f, &e), 0);
    for (size_t at = 0; at < e.token.size; at++) {
        _findings_ struct findings found = {0};
        struct platform_claims claims = {0};
        e.token.data[at] ^= (uint8_t)(1u << (at % 8));
        (void)!verify(&e, &f, ecc_anchors, &found, &claims);
        if (findings_pass(&found))
            fail_msg("accepted with byte %zu changed", at);
        e.token.data[at] ^= (uint8_t)(1u << (at % 8));
    }
    size_t size = e.token.size;
    for (e.token.size = 0; e.token.size < size; e.token.size++) {
        _findings_ struct findings found = {0};
        struct platform_claims claims = {0};
        assert_int_equal(verify(&e, &f, ecc_anchors, &found, &claims), -EBADMSG);
        assert_false(findings_pass(&found));
    }
    _findings_ struct findings found = {0};
    struct platform_claims claims = {0};
    assert_int_equal(verify(&e, &f, ecc_anchors, &found, &claims), 0);
    assert_true(findings_pass(&found));
    forge_free(&f);
}

/* E15 with real parts: a public token, and the public certificate of another machine's key. */
static void a_public_token_with_anothers_certificate_is_refused(void **state)
{
    (void)state;
    struct cca_token t;
    struct error err = {0};
    struct forge f = {.with_platform = false};
    _evidence_ struct evidence e = {.platform = "virtcca"};
    _findings_ struct findings found = {0};
    struct platform_claims claims = {0};
    if (!read_shared("tokens/virtcca-cvm-rsa.cbor", &e.token) ||
        !read_shared("tokens/virtcca-aik-cert.der", &e.certificate))
        skip();
    assert_int_equal(cca_token_parse(&t, buffer_bytes(&e.token), &err), 0);
    assert_true(t.wrapped_twice);
    assert_false(t.has_platform);
    memcpy(f.expected_challenge, t.cvm.challenge.data, CHALLENGE_SIZE);
    assert_int_equal(verify(&e, &f, rsa_anchors, &found, &claims), 0);
    assert_rejected_by(
        &found, (const char *const[]){"token.platform.chain", "token.platform.binding", NULL});
    const uint8_t rim[] = {0x73, 0x09, 0xec, 0x52};
    assert_memory_equal(claims.initial.bytes, rim, sizeof(rim));
    for (size_t i = 1; i < claims.register_count; i++)
        assert_true(bytes_are_zero(claims.extended[i].bytes, 32));
}

static void pcrs_go_to_their_registers(void **state)
{
    (void)state;
    static const int8_t expected[24] = {0, 1, 2, 2, 2, 2, 2, 1, 3, 3, -1, 3,
                                        3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4,  4};
    struct forge f;
    _findings_ struct findings found = {0};
    _evidence_ struct evidence e;
    struct platform_claims claims = {0};
    genuine(&f, ECC_PLATFORM);
    assert_int_equal(forge_evidence(&f, &e), 0);
    assert_int_equal(verify(&e, &f, ecc_anchors, &found, &claims), 0);
    assert_memory_equal(claims.pcr_map, expected, sizeof(expected));
    forge_free(&f);
    assert_null(platform_verifier_by_name("virtcc"));
    assert_null(platform_verifier_by_name(""));
}

/* ---- what is remembered ---- */

/* Is the certificate of this evidence taken from memory? */
static bool is_remembered(const struct evidence *e, const struct trust_anchors *a)
{
    _x509_ X509 *one = NULL;
    _x509_ X509 *two = NULL;
    assert_int_equal(certificate_parse_known(&one, buffer_bytes(&e->certificate), a, NULL), 0);
    assert_int_equal(certificate_parse_known(&two, buffer_bytes(&e->certificate), a, NULL), 0);
    return one == two;
}

static void only_certificates_that_verified_are_remembered(void **state)
{
    (void)state;
    _trust_anchors_ struct trust_anchors *a = chain_anchors(&ecc);
    for (int bad = 1; bad >= 0; bad--) {
        _findings_ struct findings found = {0};
        _evidence_ struct evidence e = {0};
        struct platform_claims claims;
        struct forge f;
        genuine(&f, ECC_PLATFORM);
        f.certificate = bad ? rsa.aik : ecc.aik;
        assert_int_equal(forge_evidence(&f, &e), 0);
        assert_int_equal(verify(&e, &f, a, &found, &claims), 0);
        assert_int_equal(findings_pass(&found), !bad);
        assert_int_equal(is_remembered(&e, a), !bad);
        assert_false(is_remembered(&e, NULL));
        e.certificate.data[e.certificate.size / 2] ^= 1; /* another file, or none at all */
        _x509_ X509 *changed = NULL;
        int r = certificate_parse_known(&changed, buffer_bytes(&e.certificate), a, NULL);
        assert_true(r < 0 || !is_remembered(&e, a));
        forge_free(&f);
    }
}

/* ---- versions of the platform's components ---- */

static void older_versions_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *version, *least;
        bool fits;
    } cases[] = {
        {"1.2.5", "1.2.5", true},
        {"1.2.10", "1.2.5", true},
        {"1.3", "1.2.5", true},
        {"2", "1.2.5", true},
        {"1.2.5.0", "1.2.5", true},
        {"1.2.4", "1.2.5", false},
        {"1.2", "1.2.5", false},
        {"1.2.0-rc9", "1.2.5", false},
        {"1.2.5-rc1", "1.2.5", false},
        {"1.2.0+20240101", "1.2.5", false},
        {"1.2.v1-9", "1.2.5", false},
        {NULL, "1", false},
        {"v2", "1", false},
        {"99999999999999999999", "1", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct component_policy component = {.type = BYTES_STR("fw"),
                                                   .version_min = BYTES_STR(cases[i].least)};
        const struct platform_policy policy = {.anchors = ecc_anchors,
                                               .components = &component,
                                               .component_count = 1,
                                               .waivers = WAIVERS_ALL};
        _findings_ struct findings found = {0};
        _evidence_ struct evidence e = {0};
        struct platform_claims claims;
        struct forge f;
        genuine(&f, ECC_PLATFORM);
        f.platform.components[0].type = BYTES_STR("fw");
        f.platform.components[0].version =
            cases[i].version ? BYTES_STR(cases[i].version) : BYTES_NONE;
        f.platform.component_count = 1;
        assert_int_equal(forge_evidence(&f, &e), 0);
        assert_int_equal(platform_verifier_by_name("virtcca")->verify(
                             &e, f.expected_challenge, &policy, &found, &claims, NULL),
                         0);
        if (findings_pass(&found) != cases[i].fits)
            fail_msg("case %zu: least version \"%s\"", i, cases[i].least);
        forge_free(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_certificates_that_verified_are_remembered),
        cmocka_unit_test(older_versions_are_refused),
        cmocka_unit_test(genuine_evidence_passes_in_every_form),
        cmocka_unit_test(variants_of_genuine_evidence_pass),
        cmocka_unit_test(every_attack_is_refused_for_its_reason),
        cmocka_unit_test(anchors_of_others_trust_nothing_here),
        cmocka_unit_test(malformed_tokens_are_refused_whole),
        cmocka_unit_test(no_flipped_byte_is_accepted),
        cmocka_unit_test(a_public_token_with_anothers_certificate_is_refused),
        cmocka_unit_test(pcrs_go_to_their_registers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
