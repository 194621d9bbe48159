/* The platform's key in a file: every form that is taken, and each that is refused. */
#include "unit.h"
#include "chain.h"
#include "crypto/base64.h"
#include "crypto/key_file.h"
#include "shared_data.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>

static struct chain chain;
static EVP_PKEY *p256, *p384, *p521, *rsa;

static int setup(void **state)
{
    (void)state;
    p256 = EVP_EC_gen("P-256");
    p384 = EVP_EC_gen("P-384");
    p521 = EVP_EC_gen("P-521");
    rsa = EVP_RSA_gen(2048);
    return p256 && p384 && p521 && rsa ? chain_make(&chain, "good", EVP_EC_gen("P-521")) : -1;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(p521);
    EVP_PKEY_free(rsa);
    chain_free(&chain);
    return 0;
}

static void assert_is(EVP_PKEY *key, struct bytes file)
{
    _evp_pkey_ EVP_PKEY *found = NULL;
    struct error e = {0};
    if (key_file_parse(&found, file, "k", &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(EVP_PKEY_eq(found, key), 1);
}

static void assert_refused(struct bytes file, int code, const char *reason)
{
    EVP_PKEY *found = NULL;
    struct error e = {0};
    int r = key_file_parse(&found, file, "k", &e);
    if (r != -code || strncmp(e.text, "k: ", 3) != 0 || !strstr(e.text, reason))
        fail_msg("expected \"%s\" (%d), got \"%s\" (%d)", reason, -code, e.text, r);
    assert_null(found);
}

/* What `write` makes of `key`, in PEM. */
static void pem(struct buffer *ret, int (*write)(BIO *bio, EVP_PKEY *key), EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    assert_int_equal(write(bio, key), 1);
    long n = BIO_get_mem_data(bio, &text);
    ret->size = 0;
    assert_int_equal(buffer_append(ret, text, (size_t)n), 0);
    BIO_free(bio);
}

static int write_public(BIO *bio, EVP_PKEY *key)
{
    return PEM_write_bio_PUBKEY(bio, key);
}
static int write_pkcs8(BIO *bio, EVP_PKEY *key)
{
    return PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
}
static int write_encrypted(BIO *bio, EVP_PKEY *key)
{
    return PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), "pass", 4, NULL, NULL);
}
static int write_traditional(BIO *bio, EVP_PKEY *key)
{
    return PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL);
}
static int write_private_der(BIO *bio, EVP_PKEY *key)
{
    return i2d_PrivateKey_bio(bio, key);
}
static int write_pkcs8_der(BIO *bio, EVP_PKEY *key)
{
    return i2d_PKCS8PrivateKey_bio(bio, key, NULL, NULL, 0, NULL, NULL);
}

static void public_keys_and_certificates_are_taken(void **state)
{
    (void)state;
    EVP_PKEY *const keys[] = {p256, p384, p521, rsa};
    _buffer_ struct buffer file = {0};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        pem(&file, write_public, keys[i]);
        assert_is(keys[i], buffer_bytes(&file));
        file.size = 0;
        assert_int_equal(public_key_to_spki(keys[i], &file, NULL), 0);
        assert_is(keys[i], buffer_bytes(&file));
        assert_int_equal(buffer_append(&file, "x", 1), 0);
        assert_refused(buffer_bytes(&file), EBADMSG, "bytes behind it");
    }
    for (int as_pem = 0; as_pem <= 1; as_pem++) {
        file.size = 0;
        assert_int_equal(certificate_encode(chain.aik, as_pem, &file, NULL), 0);
        assert_is(chain.aik_key, buffer_bytes(&file));
        assert_int_equal(buffer_append(&file, "x", 1), 0);
        assert_refused(buffer_bytes(&file), EBADMSG,
                       as_pem ? "something follows" : "1 bytes behind");
    }
    pem(&file, write_public, p384);
    assert_int_equal(buffer_append(&file, "x", 1), 0);
    assert_refused(buffer_bytes(&file), EBADMSG, "something follows");
}

static void private_keys_are_refused(void **state)
{
    (void)state;
    int (*const forms[])(BIO *, EVP_PKEY *) = {write_pkcs8, write_encrypted, write_traditional,
                                               write_private_der, write_pkcs8_der};
    EVP_PKEY *const keys[] = {p384, rsa};
    _buffer_ struct buffer file = {0};
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
        for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
            pem(&file, forms[i], keys[k]);
            assert_refused(buffer_bytes(&file), EPERM, "a private key");
        }
}

static void other_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } files[] = {
        {"", "empty"},
        {" \n", "empty"},
        {"key", "expected a public key"},
        {"0", "damaged DER"},
        {"0\x03\x02\x01", "damaged DER"},
        {"0\x03\x02\x01\x01", "a private key"},
        {"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", "a PEM block \"X509 CRL\""},
        {"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", "damaged DER"},
    };
    EVP_PKEY *found = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct error e = {0};
        assert_true(key_file_parse(&found, BYTES_STR(files[i].text), "k", &e) < 0);
        if (!strstr(e.text, files[i].reason))
            fail_msg("case %zu: expected \"%s\", got \"%s\"", i, files[i].reason, e.text);
        assert_null(found);
    }
    _buffer_ struct buffer large = {0};
    assert_int_equal(buffer_reserve(&large, KEY_FILE_MAX + 1), 0);
    memset(large.data, ' ', KEY_FILE_MAX + 1);
    assert_refused(BYTES(large.data, KEY_FILE_MAX + 1), EFBIG, "larger than");
}

/* ---- JSON Web Keys ---- */

static void put_base64url(char *ret, struct bytes in)
{
    _buffer_ struct buffer text = {0};
    assert_int_equal(base64_encode(in, &text), 0);
    for (size_t i = 0; i < text.size && text.data[i] != '='; i++) {
        char c = (char)text.data[i];
        *ret++ = c == '+' ? '-' : c == '/' ? '_' : c;
    }
    *ret = '\0';
}

struct jwk {
    char x[1024], y[1024]; /* or n and e */
};

static void ec_of(struct jwk *j, EVP_PKEY *key)
{
    _buffer_ struct buffer point = {0};
    assert_int_equal(public_key_to_point(key, &point, NULL), 0);
    size_t n = point.size / 2;
    put_base64url(j->x, BYTES(point.data + 1, n));
    put_base64url(j->y, BYTES(point.data + 1 + n, n));
}

static void number_of(char *ret, EVP_PKEY *key, const char *parameter)
{
    uint8_t bytes[512];
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, parameter, &n), 1);
    put_base64url(ret, BYTES(bytes, (size_t)BN_bn2bin(n, bytes)));
    BN_free(n);
}

static void web_keys_are_taken(void **state)
{
    (void)state;
    const struct {
        EVP_PKEY *key;
        const char *name;
    } curves[] = {{p256, "P-256"}, {p384, "P-384"}, {p521, "P-521"}};
    char text[8192];
    struct jwk j;
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++) {
        ec_of(&j, curves[i].key);
        snprintf(text, sizeof(text), "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}",
                 curves[i].name, j.x, j.y);
        assert_is(curves[i].key, BYTES_STR(text));
        snprintf(text, sizeof(text),
                 "\n [{\"pkey\":{\"kty\":\"EC\",\"crv\":\"%s\",\"kid\":\"1\",\"x\":\"%s\","
                 "\"y\":\"%s\"},\"instance-id\":\"01\"}]",
                 curves[i].name, j.x, j.y);
        assert_is(curves[i].key, BYTES_STR(text));
    }
    number_of(j.x, rsa, OSSL_PKEY_PARAM_RSA_N);
    number_of(j.y, rsa, OSSL_PKEY_PARAM_RSA_E);
    snprintf(text, sizeof(text), "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", j.x, j.y);
    assert_is(rsa, BYTES_STR(text));
}

/* `values` for @x, @y and @n. */
static void fill_in(char *ret, const char *text, const char *const values[])
{
    for (; *text; text++) {
        if (*text != '@')
            *ret++ = *text;
        else
            ret = stpcpy(ret, values[*++text == 'x' ? 0 : *text == 'y' ? 1 : 2]);
    }
    *ret = '\0';
}

static void web_keys_that_are_none_are_refused(void **state)
{
    (void)state;
    /* @x and @y: of a P-256 key; @n: a modulus. */
#define EC "\"kty\":\"EC\",\"crv\":\"P-256\","
    static const struct {
        const char *text;
        const char *reason;
    } keys[] = {
        {"{" EC "\"x\":\"@x\",\"y\":\"@y\",\"d\":\"AQ\"}", "a private key"},
        {"{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"AQAB\",\"p\":\"AQ\"}", "a private key"},
        {"{\"kty\":\"oct\",\"k\":\"AQ\"}", "a private key"},
        {"{" EC "\"x\":\"@x\"}", "\"y\" is missing"},
        {"{" EC "\"x\":\"@x\",\"y\":7}", "\"y\" must be a string"},
        {"{" EC "\"x\":\"@x\",\"y\":\"@x\"}", "not a point"},
        {"{" EC "\"x\":\"@x\",\"y\":\"@y=\"}", "\"y\" is not base64url"},
        {"{" EC "\"x\":\"@x\",\"y\":\"+/+/\"}", "\"y\" is not base64url"},
        {"{" EC "\"x\":\"@x\",\"y\":\"A\"}", "\"y\" is not base64url"},
        {"{" EC "\"x\":\"@x\",\"y\":\"AQAB\"}", "\"y\" has 3 bytes, expected 32"},
        {"{" EC "\"x\":\"AAAA@x\",\"y\":\"@y\"}", "\"x\" has 35 bytes, expected 32"},
        {"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"@x\",\"y\":\"@y\"}", "expected 48"},
        {"{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"@x\",\"y\":\"@y\"}",
         "\"crv\" is \"secp256k1\""},
        {"{\"kty\":\"OKP\",\"x\":\"@x\"}", "\"kty\" is \"OKP\""},
        {"{\"x\":\"@x\"}", "\"kty\" is missing"},
        {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", "expected 256 or more"},
        {"{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"\"}", "expected 1 or more"},
        {"{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"AQABAQABAQAB\"}", "expected 8 or less"},
        {"{\"kty\":\"RSA\",\"n\":\"AAAA@n\",\"e\":\"AQAB\"}", "\"n\" starts with a zero byte"},
        {"{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"AAEAAQ\"}", "\"e\" starts with a zero byte"},
        {"{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"AQ\"}", "not an RSA modulus"},
        {"{\"kty\":\"RSA\",\"n\":\"@n\",\"e\":\"Ag\"}", "not an RSA modulus"},
        {"{\"kty\":\"EC\",\"kty\":\"RSA\"}", "duplicate"},
        {"{\"kty\":\"EC\"", "line 1"},
        {"[]", "a list of 0 keys"},
        {"[{},{}]", "a list of 2 keys"},
        {"[{}]", "no object \"pkey\""},
        {"[7]", "no object \"pkey\""},
    };
    char text[8192], modulus[1024];
    struct jwk j;
    ec_of(&j, p256);
    number_of(modulus, rsa, OSSL_PKEY_PARAM_RSA_N);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        EVP_PKEY *found = NULL;
        struct error e = {0};
        fill_in(text, keys[i].text, (const char *const[]){j.x, j.y, modulus});
        assert_true(key_file_parse(&found, BYTES_STR(text), "k", &e) < 0);
        if (strncmp(e.text, "k: ", 3) != 0 || !strstr(e.text, keys[i].reason))
            fail_msg("case %zu: expected \"%s\", got \"%s\"", i, keys[i].reason, e.text);
        assert_null(found);
    }
}

static void keys_beside_public_tokens_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *file, *kind;
    } keys[] = {{"tokens/cca-token-01-cpak.json", "P-384"},
                {"tokens/cca-token-02-key.json", "P-256"},
                {"tokens/virtcca-aik-cert.der", "RSA-4096"}};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        _buffer_ struct buffer file = {0};
        _evp_pkey_ EVP_PKEY *key = NULL;
        struct error e = {0};
        char kind[PUBLIC_KEY_GROUP_MAX];
        if (!read_shared(keys[i].file, &file))
            skip();
        if (key_file_parse(&key, buffer_bytes(&file), "k", &e) < 0)
            fail_msg("%s: %s", keys[i].file, e.text);
        public_key_describe(key, kind);
        assert_string_equal(kind, keys[i].kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_keys_and_certificates_are_taken),
        cmocka_unit_test(private_keys_are_refused),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(web_keys_are_taken),
        cmocka_unit_test(web_keys_that_are_none_are_refused),
        cmocka_unit_test(keys_beside_public_tokens_are_taken),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
