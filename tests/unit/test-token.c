#include "unit.h"
#include "crypto/key_file.h"
#include "crypto/signature.h"
#include "token/cbor.h"
#include "shared_data.h"
#include "token/cca.h"
#include "token/cose_key.h"

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

/* Whatever is read as a key is what is written of it. */
static void assert_one_encoding(struct bytes der)
{
    _evp_pkey_ EVP_PKEY *key = NULL;
    _buffer_ struct buffer again = {0};
    if (public_key_from_spki(&key, der, NULL) < 0)
        return;
    assert_int_equal(public_key_to_spki(key, &again, NULL), 0);
    assert_true(bytes_equal(buffer_bytes(&again), der));
}

static void no_other_bytes_are_the_same_key(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {rsa, p521, p384};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        _buffer_ struct buffer spki = {0};
        _evp_pkey_ EVP_PKEY *key = NULL;
        assert_int_equal(public_key_to_spki(keys[i], &spki, NULL), 0);
        assert_int_equal(public_key_from_spki(&key, buffer_bytes(&spki), NULL), 0);
        assert_int_equal(EVP_PKEY_eq(key, keys[i]), 1);
        /* All that is in front of the numbers, and some of them. */
        for (size_t at = 0; at < 48; at++)
            for (unsigned bit = 1; bit < 256; bit *= 2) {
                spki.data[at] ^= (uint8_t)bit;
                assert_one_encoding(buffer_bytes(&spki));
                spki.data[at] ^= (uint8_t)bit;
            }
        for (size_t n = 0; n < spki.size; n += n < 48 ? 1 : 50)
            assert_one_encoding(BYTES(spki.data, n));
    }
}

/* SubjectPublicKeyInfo of RSA, of the numbers 0xc1 and 3, then with one defect each. */
static void numbers_have_one_encoding(void **state)
{
    (void)state;
#define HEAD(a, b, c)                                                                              \
    a "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x03" b "\0\x30" c
    static const struct {
        const char *bytes;
        size_t size;
        bool good;
    } cases[] = {
#define CASE(text, good) {text, sizeof(text) - 1, good}
        CASE(HEAD("\x30\x1b", "\x0a", "\x07") "\x02\x02\0\xc1\x02\x01\x03", true),
        CASE(HEAD("\x30\x1a", "\x09", "\x06") "\x02\x01\xc1\x02\x01\x03", false),
        CASE(HEAD("\x30\x1c", "\x0b", "\x08") "\x02\x03\0\0\xc1\x02\x01\x03", false),
        CASE(HEAD("\x30\x1c", "\x0b", "\x08") "\x02\x02\0\xc1\x02\x02\0\x03", false),
        CASE(HEAD("\x30\x1c", "\x0b", "\x08") "\x02\x81\x02\0\xc1\x02\x01\x03", false),
        CASE(HEAD("\x30\x1c", "\x0b", "\x81\x07") "\x02\x02\0\xc1\x02\x01\x03", false),
        CASE(HEAD("\x30\x81\x1b", "\x0a", "\x07") "\x02\x02\0\xc1\x02\x01\x03", false),
        CASE(HEAD("\x30\x1c", "\x0b", "\x08") "\x02\x02\0\xc1\x02\x01\x03\0", false),
        CASE(HEAD("\x30\x1c", "\x0b", "\x07") "\x02\x02\0\xc1\x02\x01\x03\0", false),
        CASE(HEAD("\x30\x1c", "\x0a", "\x07") "\x02\x02\0\xc1\x02\x01\x03\0", false),
        CASE(HEAD("\x30\x1b", "\x0a", "\x07") "\x02\x02\0\xc1\x02\x01\x03\0", false),
#undef CASE
#undef HEAD
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _evp_pkey_ EVP_PKEY *key = NULL;
        struct bytes der = BYTES(cases[i].bytes, cases[i].size);
        assert_int_equal(public_key_from_spki(&key, der, NULL), cases[i].good ? 0 : -EBADMSG);
        assert_one_encoding(der);
    }
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
        bool twice, cmw, cose_key;
        size_t key_size;
    } forms[] = {
        {rsa, NULL, true, false, false, 550},  {rsa, rsa, true, false, false, 550},
        {p521, p521, true, false, false, 133}, {p521, rsa, false, false, false, 133},
        {p384, p384, false, false, false, 97}, {p384, p256, false, false, false, 97},
        {p384, p384, false, false, true, 107}, {p384, p256, false, true, true, 107},
        {p384, p384, false, true, false, 97},  {rsa, NULL, true, true, false, 550},
    };
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct sample s;
        sample_init(&s, forms[i].cvm, forms[i].platform);
        s.spec.wrap_twice = forms[i].twice;
        s.spec.cmw = forms[i].cmw;
        s.spec.cose_key = forms[i].cose_key;
        s.platform.components[0].unknown.list[0] =
            (struct cca_unknown){.label = -7, .value = BYTES("\xf5", 1)};
        s.platform.components[0].unknown.count = 1;
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
        assert_int_equal(t.cmw, forms[i].cmw);
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
        assert_int_equal(t.platform.components[0].unknown.count, 1);
        assert_int_equal(t.platform.components[0].unknown.list[0].label, -7);
        assert_bytes_equal(t.platform.components[0].unknown.list[0].value, BYTES("\xf5", 1));
    }
}

static void cose_keys_of_every_curve_round_trip(void **state)
{
    (void)state;
    const struct {
        EVP_PKEY *key;
        size_t size;
    } keys[] = {{p256, 75}, {p384, 107}, {p521, 143}};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        struct error e = {0};
        _buffer_ struct buffer out = {0};
        _evp_pkey_ EVP_PKEY *key = NULL;
        assert_int_equal(cose_key_encode(keys[i].key, &out, &e), 0);
        assert_int_equal(out.size, keys[i].size);
        if (cose_key_parse(&key, buffer_bytes(&out), 0, &e) < 0)
            fail_msg("%s", e.text);
        assert_int_equal(EVP_PKEY_eq(key, keys[i].key), 1);
    }
    _buffer_ struct buffer none = {0};
    struct error e = {0};
    assert_true(cose_key_encode(rsa, &none, &e) < 0);
    assert_int_equal(none.size, 0);
}

/* A genuine COSE_Key of P-256, `with` put in the place of its first `cut` bytes behind `at`. */
static void patch(struct buffer *ret, size_t at, size_t cut, struct bytes with)
{
    _buffer_ struct buffer key = {0};
    struct error e = {0};
    assert_int_equal(cose_key_encode(p256, &key, &e), 0);
    ret->size = 0;
    assert_int_equal(buffer_append(ret, key.data, at), 0);
    assert_int_equal(buffer_append(ret, with.data, with.size), 0);
    assert_int_equal(buffer_append(ret, key.data + at + cut, key.size - at - cut), 0);
}

/* The key is A4 · 01 02 · 20 01 · 21 58 20 x · 22 58 20 y: x at offset 5, y at 40. */
static void cose_keys_that_are_none_are_refused(void **state)
{
    (void)state;
    static const uint8_t zeros[40];
    const struct {
        size_t at, cut;
        struct bytes with;
        const char *reason;
    } bad[] = {
        {0, 1, BYTES("\xa5\x23\x41\x01", 4), "offset 101: key parameter -4"}, /* d */
        {0, 1, BYTES("\xa5\x04\x81\x02", 4), "offset 101: key parameter 4"},
        {0, 1, BYTES("\xa5\x61x\x01", 4), "offset 101: key parameter is a text string"},
        {0, 1, BYTES("\xa5\x03\x38\x22", 4), "algorithm -35 is not that of the key's curve"},
        {0, 1, BYTES("\xa5\x01\x02", 3), "offset 103: duplicate key"},
        {0, 1, BYTES("\xbf", 1), "offset 100: indefinite length"},
        {0, 1, BYTES("\x88", 1), "offset 100: COSE_Key is an array"},
        {2, 1, BYTES("\x01", 1), "a key of type 1 on curve 1"},
        {4, 1, BYTES("\x02", 1), "coordinates of 32 and 32 bytes: expected 48"},
        {4, 1, BYTES("\x08", 1), "a key of type 2 on curve 8"},
        {4, 1, BYTES("\x41\x01", 2), "offset 104: curve is a byte string"},
        {1, 2, BYTES("\x03\x26", 2), "a key of type 0"},
        {6, 34, BYTES("\x40", 1), "coordinates of 0 and 32 bytes"},
        {6, 34, BYTES("\xf5", 1), "offset 106: x is a simple value"},
        {8, 32, BYTES(zeros, 32), "not a point"},
        {75, 0, BYTES("\x00", 1), "offset 175: 1 bytes behind the end"},
        {5, 70, BYTES_NONE, "offset 105: the data ends"},
    };
    _buffer_ struct buffer in = {0};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error e = {0};
        EVP_PKEY *key = NULL;
        patch(&in, bad[i].at, bad[i].cut, bad[i].with);
        assert_int_equal(cose_key_parse(&key, buffer_bytes(&in), 100, &e), -EBADMSG);
        if (!strstr(e.text, bad[i].reason))
            fail_msg("case %zu: expected \"%s\", got \"%s\"", i, bad[i].reason, e.text);
        assert_null(key);
    }
    struct error e = {0};
    _evp_pkey_ EVP_PKEY *key = NULL;
    patch(&in, 0, 1, BYTES("\xa5\x03\x26", 3)); /* ES256 */
    assert_int_equal(cose_key_parse(&key, buffer_bytes(&in), 100, &e), 0);
    assert_int_equal(EVP_PKEY_eq(key, p256), 1);
}

/* ---- public tokens ---- */

static void check_arm_token(const char *token, const char *key)
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
    _evp_pkey_ EVP_PKEY *platform = NULL, *rak = NULL;
    assert_int_equal(key_file_parse(&platform, buffer_bytes(&json), key, &e), 0);
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
    check_arm_token("tokens/cca-token-01.cbor", "tokens/cca-token-01-cpak.json");
}

static void arm_example_with_p256_platform_key_verifies(void **state)
{
    (void)state;
    check_arm_token("tokens/cca-token-02.cbor", "tokens/cca-token-02-key.json");
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
        cmocka_unit_test(no_other_bytes_are_the_same_key),
        cmocka_unit_test(numbers_have_one_encoding),
        cmocka_unit_test(cbor_refuses_all_but_the_strict_form),
        cmocka_unit_test(sig_structure_is_the_rfcs),
        cmocka_unit_test(cose_envelopes_are_strict),
        cmocka_unit_test(every_form_of_token_round_trips),
        cmocka_unit_test(cose_keys_of_every_curve_round_trip),
        cmocka_unit_test(cose_keys_that_are_none_are_refused),
        cmocka_unit_test(arm_example_with_p384_platform_key_verifies),
        cmocka_unit_test(arm_example_with_p256_platform_key_verifies),
        cmocka_unit_test(public_virtcca_token_verifies_with_its_own_key),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
