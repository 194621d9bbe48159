/* The software TMM's authority and tokens, read with the verifier's own eyes. */
#include "unit.h"

#include "crypto/signature.h"
#include "crypto/x509.h"
#include "tmm/token.h"
#include "token/cca.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static char folder[] = "/tmp/encroot-test-token-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static int set_up(void **state)
{
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 7);
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The attestation key out of the certificate, after its chain was verified against the pins. */
static EVP_PKEY *verified_aik(const struct token_issuer *t, const char *name, X509 **ret)
{
    _trust_anchors_ struct trust_anchors *anchors = NULL;
    char trust[128], pins[160];
    struct error err = {0};

    snprintf(trust, sizeof(trust), "%s/%s/trust", folder, name);
    snprintf(pins, sizeof(pins), "%s/pins", trust);
    if (trust_anchors_load(&anchors, trust, pins, &err) < 0 ||
        certificate_parse(ret, buffer_bytes(&t->authority.certificate), &err) < 0 ||
        certificate_verify_chain(*ret, anchors, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(certificate_is_signing_leaf(*ret));
    return certificate_public_key(*ret);
}

static void issue(struct token_issuer *t, struct registers *g, struct buffer *ret,
                  struct cca_token *parsed, uint8_t fill)
{
    uint8_t challenge[TOKEN_CHALLENGE_SIZE];
    struct error err = {0};

    memset(challenge, fill, sizeof(challenge));
    if (token_issue(t, g, challenge, ret, &err) < 0 ||
        cca_token_parse(parsed, buffer_bytes(ret), &err) < 0)
        fail_msg("%s", err.text);
    assert_true(parsed->wrapped_twice);
    assert_true(bytes_equal(parsed->cvm.challenge, BYTES_OF(challenge)));
    assert_true(bytes_equal(parsed->cvm.initial, digest_bytes(&t->rim)));
    for (int i = 0; i < REM_COUNT; i++)
        assert_true(bytes_equal(parsed->cvm.extended[i], BYTES_OF(g->rem[i])));
}

static struct registers some_registers(void)
{
    struct registers g;

    registers_init(&g, NULL);
    for (int i = 0; i < REM_COUNT; i++)
        memset(g.rem[i], 0xa0 + i, REM_SIZE);
    return g;
}

static struct digest some_rim(void)
{
    struct digest d = {.alg = HASH_SHA256, .size = 32};

    memset(d.bytes, 0x5a, 32);
    return d;
}

static void test_p521_token_verifies(void **state)
{
    struct registers g = some_registers();
    struct digest rim = some_rim(), binding;
    _buffer_ struct buffer token = {0};
    _evp_pkey_ EVP_PKEY *rak = NULL;
    _x509_ X509 *certificate = NULL;
    struct token_issuer t;
    struct cca_token parsed;

    assert_int_equal(token_issuer_init(&t, folder, AUTHORITY_P521, true, &rim, NULL), 0);
    issue(&t, &g, &token, &parsed, 7);
    assert_true(parsed.has_platform);
    assert_int_equal(parsed.cvm.public_key.size, 133);
    assert_int_equal(cca_public_key(&rak, parsed.cvm.public_key, NULL), 0);
    assert_int_equal(cose_sign1_verify(&parsed.cvm_sign1, rak, NULL), 0);
    EVP_PKEY *aik = verified_aik(&t, "p521", &certificate);
    assert_int_equal(cose_sign1_verify(&parsed.platform_sign1, aik, NULL), 0);
    assert_int_not_equal(EVP_PKEY_eq(aik, rak), 1);
    assert_int_equal(digest_compute(&binding, HASH_SHA256, parsed.cvm.public_key), 0);
    assert_true(bytes_equal(parsed.platform.challenge, digest_bytes(&binding)));
    assert_int_equal(parsed.platform.lifecycle, 0x3003);
    assert_int_equal(parsed.platform.instance_id.size, 33);
    assert_int_equal(parsed.platform.implementation_id.size, 32);
    /* Real P-521 platforms hand out PEM. */
    assert_memory_equal(t.authority.certificate.data, "-----BEGIN CERTIFICATE-----", 27);
    token_issuer_free(&t);
}

static void test_rsa_token_without_platform(void **state)
{
    struct registers g = some_registers();
    struct digest rim = some_rim();
    _buffer_ struct buffer token = {0}, spki = {0};
    _x509_ X509 *certificate = NULL;
    struct token_issuer t;
    struct cca_token parsed;

    assert_int_equal(token_issuer_init(&t, folder, AUTHORITY_RSA, false, &rim, NULL), 0);
    issue(&t, &g, &token, &parsed, 9);
    assert_false(parsed.has_platform);
    assert_int_equal(parsed.cvm.public_key.size, 550);
    EVP_PKEY *aik = verified_aik(&t, "rsa", &certificate);
    /* The guest's key is the attestation key: nothing else would vouch for it. */
    assert_int_equal(public_key_to_spki(aik, &spki, NULL), 0);
    assert_true(bytes_equal(parsed.cvm.public_key, buffer_bytes(&spki)));
    assert_int_equal(cose_sign1_verify(&parsed.cvm_sign1, aik, NULL), 0);
    assert_int_equal(parsed.cvm_sign1.signature.size, 512);
    assert_int_equal(t.authority.certificate.data[0], 0x30); /* DER */
    token_issuer_free(&t);
}

static void test_authority_is_kept_and_private(void **state)
{
    static const char *const keys[] = {"root.key", "intermediate.key", "aik.key"};
    struct authority a, b;
    struct stat st;
    char path[128];

    assert_int_equal(authority_open(&a, folder, AUTHORITY_P521, NULL), 0);
    assert_int_equal(authority_open(&b, folder, AUTHORITY_P521, NULL), 0);
    assert_int_equal(EVP_PKEY_eq(a.aik, b.aik), 1);
    assert_memory_equal(a.root_pin, b.root_pin, 32);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        snprintf(path, sizeof(path), "%s/p521/%s", folder, keys[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    authority_free(&a);
    authority_free(&b);
    assert_int_equal(unlink(path), 0); /* the state is broken: an error, not new keys */
    struct error err = {0};
    assert_int_equal(authority_open(&a, folder, AUTHORITY_P521, &err), -ENOENT);
    assert_non_null(strstr(err.text, "aik.key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_p521_token_verifies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rsa_token_without_platform, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_authority_is_kept_and_private, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
