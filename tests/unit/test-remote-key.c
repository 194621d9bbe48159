#include "unit.h"
#include "crypto/certificate_verify.h"
#include "crypto/remote_key.h"
#include "crypto/public_key.h"

#include <openssl/core_names.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* Who has the private key, and what it was asked. */
struct holder {
    EVP_PKEY *key;
    const EVP_MD *digest;
    unsigned asked;
    bool refuses;
    size_t hash_size; /* of the transcript; 0: no CertificateVerify */
};

static int sign_there(void *arg, struct bytes message, struct buffer *der)
{
    struct holder *h = arg;
    struct bytes hash;
    h->asked++;
    h->hash_size = certificate_verify_get(message, &hash) == 0 ? hash.size : 0;
    if (h->refuses)
        return -EACCES;
    uint8_t out[160];
    size_t n = sizeof(out);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, h->digest, NULL, h->key), 1);
    assert_int_equal(EVP_DigestSign(ctx, out, &n, message.data, message.size), 1);
    EVP_MD_CTX_free(ctx);
    return buffer_append(der, out, n);
}

static X509 *certificate_of(EVP_PKEY *key)
{
    X509 *x = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    return x;
}

struct remote {
    struct holder holder;
    X509 *certificate;
    EVP_PKEY *public; /* as the certificate has it */
    struct remote_key *key;
};

static struct remote remote_of(const char *curve, const EVP_MD *digest)
{
    struct remote r = {.holder = {.key = EVP_EC_gen(curve), .digest = digest}};
    r.certificate = certificate_of(r.holder.key);
    r.public = X509_get0_pubkey(r.certificate);
    return r;
}

static void make_remote(struct remote *r)
{
    struct error e = {0};
    struct remote_signer signer = {.sign = sign_there, .arg = &r->holder};
    assert_int_equal(remote_key_new(&r->key, r->public, &signer, &e), 0);
}

static void free_remote(struct remote *r)
{
    remote_key_free(r->key);
    X509_free(r->certificate);
    EVP_PKEY_free(r->holder.key);
}

/* Both ends in one thread, over memory. */
static bool shake(SSL *a, SSL *b)
{
    BIO *x, *y;
    assert_int_equal(BIO_new_bio_pair(&x, 0, &y, 0), 1);
    SSL_set_bio(a, x, x);
    SSL_set_bio(b, y, y);
    SSL_set_accept_state(a);
    SSL_set_connect_state(b);
    for (int i = 0; i < 20 && !(SSL_is_init_finished(a) && SSL_is_init_finished(b)); i++) {
        SSL_do_handshake(b);
        SSL_do_handshake(a);
    }
    return SSL_is_init_finished(a) && SSL_is_init_finished(b);
}

static int trust_all(int ok, X509_STORE_CTX *c)
{
    (void)ok, (void)c;
    return 1;
}

static bool handshake(struct remote *r, int version, const char *suite)
{
    SSL_CTX *server = SSL_CTX_new(TLS_server_method()), *client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(client, version);
    assert_int_equal(SSL_CTX_set_ciphersuites(client, suite), 1);
    /* The client verifies the signature, not the certificate. */
    SSL_CTX_set_verify(client, SSL_VERIFY_PEER, trust_all);
    assert_int_equal(SSL_CTX_use_certificate(server, r->certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server, remote_key_pkey(r->key)), 1);
    assert_int_equal(SSL_CTX_check_private_key(server), 1);
    SSL *a = SSL_new(server), *b = SSL_new(client);
    bool ok = shake(a, b);
    SSL_free(a);
    SSL_free(b);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return ok;
}

static void tls_1_3_works_with_a_key_that_is_elsewhere(void **state)
{
    (void)state;
    const struct {
        const char *curve, *suite;
        const EVP_MD *digest;
        size_t hash;
    } cases[] = {
        {"P-256", "TLS_AES_128_GCM_SHA256", EVP_sha256(), 32},
        {"P-256", "TLS_AES_256_GCM_SHA384", EVP_sha256(), 48},
        {"P-384", "TLS_AES_128_GCM_SHA256", EVP_sha384(), 32},
        {"P-384", "TLS_AES_256_GCM_SHA384", EVP_sha384(), 48},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct remote r = remote_of(cases[i].curve, cases[i].digest);
        make_remote(&r);
        assert_true(handshake(&r, TLS1_3_VERSION, cases[i].suite));
        assert_int_equal(r.holder.asked, 1);
        assert_int_equal(r.holder.hash_size, cases[i].hash); /* the message came whole */
        r.holder.refuses = true;
        assert_false(handshake(&r, TLS1_3_VERSION, cases[i].suite));
        free_remote(&r);
    }
}

/* What the provider cannot tell apart, the message does: TLS 1.2 signs its randoms. */
static void the_holder_sees_what_is_no_certificate_verify(void **state)
{
    (void)state;
    struct remote r = remote_of("P-256", EVP_sha256());
    make_remote(&r);
    assert_true(handshake(&r, TLS1_2_VERSION, "TLS_AES_128_GCM_SHA256"));
    assert_int_equal(r.holder.asked, 1);
    assert_int_equal(r.holder.hash_size, 0);
    free_remote(&r);
}

static void a_wrong_signature_is_seen_by_the_peer(void **state)
{
    (void)state;
    struct remote r = remote_of("P-256", EVP_sha256());
    make_remote(&r);
    EVP_PKEY *good = r.holder.key;
    r.holder.key = EVP_EC_gen("P-256");
    assert_false(handshake(&r, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"));
    assert_int_equal(r.holder.asked, 1);
    EVP_PKEY_free(r.holder.key);
    r.holder.key = good;
    free_remote(&r);
}

/* ---- everything but digest_sign with the curve's digest ---- */
static bool signs(EVP_PKEY *key, const char *digest, bool in_parts)
{
    uint8_t out[160];
    size_t n = sizeof(out);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) == 1;
    if (in_parts)
        ok = ok && EVP_DigestSignUpdate(ctx, "abc", 3) == 1 &&
             EVP_DigestSignFinal(ctx, out, &n) == 1;
    else
        ok = ok && EVP_DigestSign(ctx, out, &n, (const uint8_t *)"abc", 3) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static void other_operations_are_refused(void **state)
{
    (void)state;
    struct remote r = remote_of("P-256", EVP_sha256());
    make_remote(&r);
    EVP_PKEY *key = remote_key_pkey(r.key);
    assert_true(signs(key, "SHA256", false)); /* the good twin */
    assert_int_equal(r.holder.asked, 1);
    assert_false(signs(key, "SHA384", false));
    assert_false(signs(key, "SHA1", false));
    assert_false(signs(key, "SHA256", true));

    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    uint8_t digest[32] = {1}, out[160];
    size_t n = sizeof(out);
    assert_int_not_equal(EVP_PKEY_sign_init(ctx), 1); /* of a bare digest */
    assert_int_not_equal(EVP_PKEY_sign(ctx, out, &n, digest, sizeof(digest)), 1);
    assert_int_not_equal(EVP_PKEY_derive_init(ctx), 1);
    EVP_PKEY_CTX_free(ctx);
    BIGNUM *private = NULL;
    assert_int_not_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &private), 1);
    assert_int_equal(r.holder.asked, 1);
    free_remote(&r);
}

static void only_the_matching_certificate_is_taken(void **state)
{
    (void)state;
    struct remote r = remote_of("P-256", EVP_sha256()), other = remote_of("P-256", EVP_sha256());
    make_remote(&r);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(ctx, other.certificate), 1);
    assert_int_not_equal(SSL_CTX_use_PrivateKey(ctx, remote_key_pkey(r.key)), 1);
    SSL_CTX_free(ctx);
    assert_int_equal(X509_check_private_key(r.certificate, remote_key_pkey(r.key)), 1);
    assert_int_not_equal(X509_check_private_key(other.certificate, remote_key_pkey(r.key)), 1);
    free_remote(&r);
    free_remote(&other);
}

static void other_kinds_of_keys_are_refused(void **state)
{
    (void)state;
    struct remote_signer signer = {.sign = sign_there};
    struct remote_key *k = NULL;
    struct error e = {0};
    EVP_PKEY *keys[] = {EVP_EC_gen("P-521"), EVP_RSA_gen(2048),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        assert_int_equal(remote_key_new(&k, keys[i], &signer, &e), -ENOTSUP);
        EVP_PKEY_free(keys[i]);
    }
}

static void certificate_verify_is_exact(void **state)
{
    (void)state;
    uint8_t hash[64] = {0}, message[CERTIFICATE_VERIFY_MAX + 1], again[CERTIFICATE_VERIFY_MAX];
    size_t n = 0;
    struct bytes found;
    for (size_t size = 0; size <= sizeof(hash); size++)
        if (size != 32 && size != 48)
            assert_int_equal(certificate_verify_put(BYTES(hash, size), message, &n), -EINVAL);
    assert_int_equal(certificate_verify_put(BYTES(hash, 48), message, &n), 0);
    assert_int_equal(n, CERTIFICATE_VERIFY_MAX);
    assert_int_equal(certificate_verify_put(BYTES(hash, 32), message, &n), 0);
    assert_int_equal(certificate_verify_get(BYTES(message, n), &found), 0);
    assert_int_equal(found.size, 32);
    message[n] = 0;
    assert_int_equal(certificate_verify_get(BYTES(message, n + 1), &found), -EBADMSG);
    assert_int_equal(certificate_verify_get(BYTES(message, n - 1), &found), -EBADMSG);
    for (size_t i = 0; i < n - 32; i++) {
        memcpy(again, message, n);
        again[i] ^= 1;
        assert_int_equal(certificate_verify_get(BYTES(again, n), &found), -EBADMSG);
    }
    memcpy(again, message, n);
    memcpy(again + 64, "TLS 1.3, client", 15); /* another context is another message */
    assert_int_equal(certificate_verify_get(BYTES(again, n), &found), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_1_3_works_with_a_key_that_is_elsewhere),
        cmocka_unit_test(the_holder_sees_what_is_no_certificate_verify),
        cmocka_unit_test(a_wrong_signature_is_seen_by_the_peer),
        cmocka_unit_test(other_operations_are_refused),
        cmocka_unit_test(only_the_matching_certificate_is_taken),
        cmocka_unit_test(other_kinds_of_keys_are_refused),
        cmocka_unit_test(certificate_verify_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
