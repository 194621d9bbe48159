#include "unit.h"
#include "base/json.h"
#include "crypto/signature.h"
#include "token/cbor.h"
#include "shared_data.h"
#include "token/cca.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>

static EVP_PKEY *rsa, *p521, *p384, *p256;

static void digest_like(uint8_t *p, uint8_t seed)
{
    for (int i = 0; i < 32; i++)
        p[i] = (uint8_t)(seed + i);
}

static int make_keys(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(4096);
    p521 = EVP_EC_gen("P-521");
    p384 = EVP_EC_gen("P-384");
    p256 = EVP_EC_gen("P-256");
    return rsa && p521 && p384 && p256 ? 0 : -1;
}

static int drop_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(p521);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(p256);
    return 0;
}

static void signatures_verify_and_only_their_own(void **state)
{
    (void)state;
    const struct {
        EVP_PKEY *key;
        int64_t alg;
        size_t size;
    } all[] = {{rsa, COSE_PS256, 512},
               {p256, COSE_ES256, 64},
               {p384, COSE_ES384, 96},
               {p521, COSE_ES512, 132}};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct error e = {0};
        _buffer_ struct buffer sig = {0};
        struct bytes message = BYTES_STR("what was signed");
        assert_int_equal(cose_alg_of_key(all[i].key), all[i].alg);
        assert_int_equal(signature_sign(all[i].key, all[i].alg, message, &sig, &e), 0);
        assert_int_equal(sig.size, all[i].size);
        assert_int_equal(signature_verify(all[i].key, all[i].alg, message, buffer_bytes(&sig), &e),
                         0);
        assert_int_equal(
            signature_verify(all[i].key, all[i].alg, BYTES_STR("another"), buffer_bytes(&sig), &e),
            -EKEYREJECTED);
        for (size_t k = 0; k < ARRAY_SIZE(all); k++)
            if (k != i)
                assert_int_equal(
                    signature_verify(all[k].key, all[i].alg, message, buffer_bytes(&sig), &e),
                    -ENOTSUP);
        sig.data[sig.size - 1] ^= 1;
        assert_int_equal(signature_verify(all[i].key, all[i].alg, message, buffer_bytes(&sig), &e),
                         -EKEYREJECTED);
        memset(sig.data, 0, sig.size);
        assert_int_equal(signature_verify(all[i].key, all[i].alg, message, buffer_bytes(&sig), &e),
                         -EKEYREJECTED);
    }
}

/* PSS with another salt length is another algorithm (RFC 8230, 2). */
static void ps256_has_a_salt_of_32_bytes(void **state)
{
    (void)state;
    struct error e = {0};
    for (int salt = 31; salt <= 33; salt++) {
        uint8_t sig[512];
        size_t n = sizeof(sig);
        EVP_PKEY_CTX *pctx = NULL;
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        assert_int_equal(EVP_DigestSignInit(ctx, &pctx, EVP_sha256(), NULL, rsa), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt), 1);
        assert_int_equal(EVP_DigestSign(ctx, sig, &n, (const uint8_t *)"m", 1), 1);
        EVP_MD_CTX_free(ctx);
        assert_int_equal(signature_verify(rsa, COSE_PS256, BYTES_STR("m"), BYTES(sig, n), &e),
                         salt == 32 ? 0 : -EKEYREJECTED);
    }
}

static void p521_signature_may_be_der_and_nothing_else(void **state)
{
    (void)state;
    struct error e = {0};
    struct bytes m = BYTES_STR("m");
    _buffer_ struct buffer raw = {0};
    _buffer_ struct buffer der = {0};
    assert_int_equal(signature_sign(p521, COSE_ES512, m, &raw, &e), 0);
    assert_int_equal(signature_raw_to_der(buffer_bytes(&raw), &der, &e), 0);
    assert_int_equal(signature_verify(p521, COSE_ES512, m, buffer_bytes(&der), &e), 0);

    assert_int_equal(buffer_append(&der, "", 1), 0); /* a byte behind it */
    assert_int_equal(signature_verify(p521, COSE_ES512, m, buffer_bytes(&der), &e), -EKEYREJECTED);
    der.size--;
    /* BER: the length 0x81 nn as 0x82 00 nn */
    _buffer_ struct buffer ber = {0};
    assert_int_equal(der.data[1], 0x81);
    const uint8_t head[] = {0x30, 0x82, 0x00, der.data[2]};
    assert_int_equal(buffer_append(&ber, head, sizeof(head)), 0);
    assert_int_equal(buffer_append(&ber, der.data + 3, der.size - 3), 0);
    assert_int_equal(signature_verify(p521, COSE_ES512, m, buffer_bytes(&ber), &e), -EKEYREJECTED);

    /* P-384 has no such habit. */
    _buffer_ struct buffer raw384 = {0};
    _buffer_ struct buffer der384 = {0};
    assert_int_equal(signature_sign(p384, COSE_ES384, m, &raw384, &e), 0);
    assert_int_equal(signature_raw_to_der(buffer_bytes(&raw384), &der384, &e), 0);
    assert_int_equal(signature_verify(p384, COSE_ES384, m, buffer_bytes(&der384), &e),
                     -EKEYREJECTED);
}

static void public_keys_have_one_encoding(void **state)
{
    (void)state;
    struct error e = {0};
    _buffer_ struct buffer spki = {0};
    _buffer_ struct buffer point = {0};
    _evp_pkey_ EVP_PKEY *k = NULL, *k2 = NULL;
    assert_int_equal(public_key_to_spki(rsa, &spki, &e), 0);
    assert_int_equal(spki.size, 550);
    assert_int_equal(public_key_from_spki(&k, buffer_bytes(&spki), &e), 0);
    assert_int_equal(EVP_PKEY_eq(k, rsa), 1);
    assert_int_equal(buffer_append(&spki, "x", 1), 0);
    EVP_PKEY *none = NULL;
    assert_int_equal(public_key_from_spki(&none, buffer_bytes(&spki), &e), -EBADMSG);

    assert_int_equal(public_key_to_point(p521, &point, &e), 0);
    assert_int_equal(point.size, 133);
    assert_int_equal(public_key_from_point(&k2, buffer_bytes(&point), &e), 0);
    assert_int_equal(EVP_PKEY_eq(k2, p521), 1);
    point.data[132] ^= 1; /* no longer on the curve */
    assert_int_equal(public_key_from_point(&none, buffer_bytes(&point), &e), -EBADMSG);
    assert_int_equal(public_key_from_point(&none, BYTES(point.data, 132), &e), -EBADMSG);
    assert_null(none);
}

static void cbor_refuses_all_but_the_strict_form(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        size_t size;
        const char *reason;
    } bad[] = {
#define CASE(b, why) {b, sizeof(b) - 1, why}
        CASE("", "offset 0: no data"),
        CASE("\x01\x02", "offset 1: 1 bytes behind the end"),
        CASE("\x9f\x01\xff", "offset 0: indefinite length"),
        CASE("\x81\x5f\x41\x00\xff", "offset 1: indefinite length"),
        CASE("\xbf\xff", "offset 0: indefinite length"),
        CASE("\x7f\xff", "offset 0: indefinite length"),
        CASE("\xff", "offset 0: indefinite length"),
        CASE("\x18\x17", "offset 0: a number is not in its shortest form"),
        CASE("\x58\x01\x00", "offset 0: a number is not in its shortest form"),
        CASE("\xd8\x12\x01", "offset 0: a number is not in its shortest form"),
        CASE("\x82\x01\x19\x00\x20", "offset 2: a number is not in its shortest form"),
        CASE("\xa2\x01\x02\x01\x03", "offset 3: duplicate key"),
        CASE("\x81\xa2\x61\x61\x02\x61\x61\x03", "offset 5: duplicate key"),
        CASE("\x82\x01", "offset 2: the data ends"),
        CASE("\x42\x01", "offset 0: the data ends"),
        CASE("\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "offset 9: the data ends"),
        CASE("\x5b\xff\xff\xff\xff\xff\xff\xff\xff", "offset 0: the data ends"),
        CASE("\xb8\x41", "offset 2: a map of 65 entries"),
        CASE("\xf9\x3c\x00", "offset 0: floating-point"),
        CASE("\xf7", "offset 0: undefined"),
        CASE("\x1c", "offset 0: not CBOR"),
        CASE("\x81\x81\x81\x81\x81\x81\x81\x81\x01", "offset 8: nested deeper than 8"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error e = {0};
        struct cbor_reader r = cbor_read(BYTES(bad[i].bytes, bad[i].size), 0, &e);
        assert_int_equal(r.error, -EBADMSG);
        if (!strstr(e.text, bad[i].reason))
            fail_msg("case %zu: expected \"%s\", got \"%s\"", i, bad[i].reason, e.text);
    }
    struct error e = {0};
    assert_int_equal(cbor_read(BYTES_OF("\x81\x81\x81\x81\x81\x81\x81\x01"), 0, &e).error,
                     -EBADMSG); /* NUL */
    assert_int_equal(cbor_read(BYTES("\x81\x81\x81\x81\x81\x81\x81\x01", 8), 0, &e).error, 0);
    struct cbor_reader r = cbor_read(BYTES("\x82\x38\x24\xa1\x0a\x41\x07", 7), 100, &e);
    assert_int_equal(cbor_read_array(&r, "it"), 2);
    assert_int_equal(cbor_read_int(&r, "it"), -37);
    assert_int_equal(cbor_read_map(&r, "it"), 1);
    assert_int_equal(cbor_read_unsigned(&r, "it"), 10);
    assert_int_equal(cbor_read_text(&r, "the seven").size, 0);
    assert_int_equal(r.error, -EBADMSG);
    assert_string_equal(e.text, "offset 105: the seven is a byte string, not a text string");
}

/* RFC 9052, 4.4, written out by hand. */
static void sig_structure_is_the_rfcs(void **state)
{
    (void)state;
    static const char expected[] = "\x84\x6aSignature1\x44\xa1\x01\x38\x24\x40\x43pay";
    _buffer_ struct buffer tbs = {0};
    assert_int_equal(cose_sign1_tbs(BYTES("\xa1\x01\x38\x24", 4), BYTES_STR("pay"), &tbs), 0);
    assert_int_equal(tbs.size, sizeof(expected) - 1);
    assert_memory_equal(tbs.data, expected, tbs.size);
}

static void cose_envelopes_are_strict(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        size_t size;
        const char *reason;
    } bad[] = {
        CASE("\xd2\x84\x43\xa1\x01\x26\xa0\x41p\x41s", NULL), /* good */
        CASE("\x84\x43\xa1\x01\x26\xa0\x41p\x41s", "COSE_Sign1 is an array, not a tag"),
        CASE("\xd1\x84\x43\xa1\x01\x26\xa0\x41p\x41s", "has tag 17, not 18"),
        CASE("\xd2\x83\x43\xa1\x01\x26\xa0\x41p", "has 3 entries, not 4"),
        CASE("\xd2\x84\x41\xa0\xa0\x41p\x41s", "names no algorithm"),
        CASE("\xd2\x84\x40\xa0\x41p\x41s", "offset 3: no data"),
        CASE("\xd2\x84\x46\xa2\x01\x26\x02\x81\x01\xa0\x41p\x41s", "critical header"),
        CASE("\xd2\x84\x43\xa1\x01\x26\xa1\x01\x26\x41p\x41s", "unprotected header is not empty"),
        CASE("\xd2\x84\x45\xa2\x01\x26\x01\x26\xa0\x41p\x41s", "duplicate key"),
        CASE("\xd2\x84\x43\xa1\x01\x26\xa0\xf6\x41s", "payload is a simple value"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error e = {0};
        struct cose_sign1 s;
        int r = cose_sign1_parse(&s, BYTES(bad[i].bytes, bad[i].size), 0, &e);
        assert_int_equal(r, bad[i].reason ? -EBADMSG : 0);
        if (bad[i].reason && !strstr(e.text, bad[i].reason))
            fail_msg("case %zu: expected \"%s\", got \"%s\"", i, bad[i].reason, e.text);
    }
}

struct sample {
    uint8_t challenge[64], rim[32], rem[4][32], id[33];
    struct cca_platform platform;
    struct cca_token_spec spec;
};

static void sample_init(struct sample *s, EVP_PKEY *cvm_key, EVP_PKEY *platform_key)
{
    memset(s, 0, sizeof(*s));
    memset(s->challenge, 0xc7, sizeof(s->challenge));
    memset(s->id, 1, sizeof(s->id));
    digest_like(s->rim, 1);
    for (int i = 0; i < 4; i++) {
        digest_like(s->rem[i], (uint8_t)(0x40 * i));
        s->spec.cvm.extended[i] = BYTES_OF(s->rem[i]);
    }
    s->spec.cvm.challenge = BYTES_OF(s->challenge);
    s->spec.cvm.initial = BYTES_OF(s->rim);
    s->spec.cvm_key = cvm_key;
    s->spec.wrap_twice = true;
    s->platform = (struct cca_platform){
        .profile = BYTES_STR("http://arm.com/CCA-SSD/1.0.0"),
        .implementation_id = BYTES(s->id, 32),
        .instance_id = BYTES(s->id, 33),
        .configuration = BYTES_STR("c"),
        .hash_alg = BYTES_STR("sha-256"),
        .has_lifecycle = true,
        .lifecycle = 0x3000,
        .components = {{.type = BYTES_STR("ipu"),
                        .measurement = BYTES_OF(s->rim),
                        .version = BYTES("1.0\0\0", 5),
                        .signer_id = BYTES_OF(s->rim)}},
        .component_count = 1,
    };
    if (platform_key) {
        s->spec.platform = &s->platform;
        s->spec.platform_key = platform_key;
    }
}

static void assert_bytes_equal(struct bytes a, struct bytes b)
{
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
}

static void every_form_of_token_round_trips(void **state)
{
    (void)state;
    const struct {
        EVP_PKEY *cvm, *platform;
        bool twice;
        size_t key_size;
    } forms[] = {
        {rsa, NULL, true, 550},  {rsa, rsa, true, 550},   {p521, p521, true, 133},
        {p521, rsa, false, 133}, {p384, p384, false, 97}, {p384, p256, false, 97},
    };
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct sample s;
        sample_init(&s, forms[i].cvm, forms[i].platform);
        s.spec.wrap_twice = forms[i].twice;
        s.spec.cvm.unknown.list[0] =
            (struct cca_unknown){.label = 99, .value = BYTES("\x82\x01\x02", 3)};
        s.spec.cvm.unknown.count = 1;
        struct error e = {0};
        _buffer_ struct buffer out = {0};
        assert_int_equal(cca_token_create(&out, &s.spec, &e), 0);
        struct cca_token t;
        if (cca_token_parse(&t, buffer_bytes(&out), &e) != 0)
            fail_msg("form %zu: %s", i, e.text);
        assert_int_equal(t.has_platform, forms[i].platform != NULL);
        assert_int_equal(t.wrapped_twice, forms[i].twice);
        assert_bytes_equal(t.cvm.challenge, s.spec.cvm.challenge);
        assert_bytes_equal(t.cvm.initial, s.spec.cvm.initial);
        assert_bytes_equal(t.cvm.extended[3], s.spec.cvm.extended[3]);
        assert_int_equal(t.cvm.public_key.size, forms[i].key_size);
        assert_int_equal(t.cvm.unknown.count, 1);
        assert_int_equal(t.cvm.unknown.list[0].label, 99);
        assert_bytes_equal(t.cvm.unknown.list[0].value, BYTES("\x82\x01\x02", 3));
        _evp_pkey_ EVP_PKEY *key = NULL;
        assert_int_equal(cca_public_key(&key, t.cvm.public_key, &e), 0);
        assert_int_equal(EVP_PKEY_eq(key, forms[i].cvm), 1);
        assert_int_equal(cose_sign1_verify(&t.cvm_sign1, key, &e), 0);
        if (!t.has_platform)
            continue;
        assert_int_equal(cose_sign1_verify(&t.platform_sign1, forms[i].platform, &e), 0);
        struct digest d;
        assert_int_equal(digest_compute(&d, HASH_SHA256, t.cvm.public_key), 0);
        assert_bytes_equal(t.platform.challenge, digest_bytes(&d));
        assert_int_equal(t.platform.lifecycle, 0x3000);
        assert_int_equal(t.platform.component_count, 1);
        assert_bytes_equal(t.platform.components[0].version, BYTES_STR("1.0"));
    }
}

/* ---- public tokens ---- */

static void coordinate(const json_t *jwk, const char *name, uint8_t *out, size_t size)
{
    const char *text = json_string_value(json_object_get(jwk, name));
    assert_non_null(text);
    char base64[128] = "";
    uint8_t raw[99];
    size_t n = strlen(text);
    assert_in_range(n, 1, 96);
    for (size_t i = 0; i < n; i++)
        base64[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    for (; n % 4; n++)
        base64[n] = '=';
    assert_in_range(EVP_DecodeBlock(raw, (const unsigned char *)base64, (int)n), (int)size, 99);
    memcpy(out, raw, size);
}

/* The platform's key beside an example token: a JWK, or a list whose first entry has one. */
static EVP_PKEY *read_jwk(struct bytes text, size_t size)
{
    struct error e = {0};
    _json_ json_t *root = NULL;
    EVP_PKEY *key = NULL;
    uint8_t point[133] = {4};
    assert_int_equal(json_parse(&root, text, "key", &e), 0);
    json_t *jwk = json_is_array(root) ? json_object_get(json_array_get(root, 0), "pkey") : root;
    coordinate(jwk, "x", point + 1, size);
    coordinate(jwk, "y", point + 1 + size, size);
    assert_int_equal(public_key_from_point(&key, BYTES(point, 1 + 2 * size), &e), 0);
    return key;
}

static void check_arm_token(const char *token, const char *key, size_t coordinate_size)
{
    struct error e = {0};
    struct cca_token t;
    struct digest d;
    _buffer_ struct buffer cbor = {0};
    _buffer_ struct buffer json = {0};
    if (!read_shared(token, &cbor) || !read_shared(key, &json))
        skip();
    if (cca_token_parse(&t, buffer_bytes(&cbor), &e) < 0)
        fail_msg("%s: %s", token, e.text);
    assert_true(t.has_platform);
    assert_false(t.wrapped_twice);
    _evp_pkey_ EVP_PKEY *platform = read_jwk(buffer_bytes(&json), coordinate_size);
    _evp_pkey_ EVP_PKEY *rak = NULL;
    if (cose_sign1_verify(&t.platform_sign1, platform, &e) < 0)
        fail_msg("%s: platform: %s", token, e.text);
    assert_int_equal(cca_public_key(&rak, t.cvm.public_key, &e), 0);
    if (cose_sign1_verify(&t.cvm_sign1, rak, &e) < 0)
        fail_msg("%s: realm: %s", token, e.text);
    char alg[16] = "";
    assert_in_range(t.cvm.binding_hash_alg.size, 1, sizeof(alg) - 1);
    memcpy(alg, t.cvm.binding_hash_alg.data, t.cvm.binding_hash_alg.size);
    assert_int_equal(digest_compute(&d, hash_by_name(alg), t.cvm.public_key), 0);
    assert_bytes_equal(t.platform.challenge, digest_bytes(&d));
}

static void arm_example_with_p384_platform_key_verifies(void **state)
{
    (void)state;
    check_arm_token("tokens/cca-token-01.cbor", "tokens/cca-token-01-cpak.json", 48);
}

static void arm_example_with_p256_platform_key_verifies(void **state)
{
    (void)state;
    check_arm_token("tokens/cca-token-02.cbor", "tokens/cca-token-02-key.json", 32);
}

static void public_virtcca_token_verifies_with_its_own_key(void **state)
{
    (void)state;
    struct error e = {0};
    struct cca_token t;
    _buffer_ struct buffer cbor = {0};
    _evp_pkey_ EVP_PKEY *key = NULL;
    if (!read_shared("tokens/virtcca-cvm-rsa.cbor", &cbor))
        skip();
    assert_int_equal(cca_token_parse(&t, buffer_bytes(&cbor), &e), 0);
    assert_int_equal(cca_public_key(&key, t.cvm.public_key, &e), 0);
    assert_int_equal(t.cvm_sign1.alg, COSE_PS256);
    assert_int_equal(cose_sign1_verify(&t.cvm_sign1, key, &e), 0);
    /* One bit of the challenge, and it does not. */
    cbor.data[t.cvm.challenge.data - cbor.data] ^= 1;
    assert_int_equal(cose_sign1_verify(&t.cvm_sign1, key, &e), -EKEYREJECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_verify_and_only_their_own),
        cmocka_unit_test(ps256_has_a_salt_of_32_bytes),
        cmocka_unit_test(p521_signature_may_be_der_and_nothing_else),
        cmocka_unit_test(public_keys_have_one_encoding),
        cmocka_unit_test(cbor_refuses_all_but_the_strict_form),
        cmocka_unit_test(sig_structure_is_the_rfcs),
        cmocka_unit_test(cose_envelopes_are_strict),
        cmocka_unit_test(every_form_of_token_round_trips),
        cmocka_unit_test(arm_example_with_p384_platform_key_verifies),
        cmocka_unit_test(arm_example_with_p256_platform_key_verifies),
        cmocka_unit_test(public_virtcca_token_verifies_with_its_own_key),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
