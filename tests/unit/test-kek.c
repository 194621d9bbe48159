/* Key-encryption keys (K3): of files, credentials, and of a real PKCS#11 token in software. */
#include "unit.h"
#include "base/hex.h"
#include "daemon/confine.h"
#include "scratch.h"
#include "soft_token.h"
#include "vault/kek.h"
#include "vault/seal.h"
#include "vault/token_pin.h"

#include <openssl/evp.h>
#include <sys/wait.h>

static const uint8_t volume[16] = {1, 2, 3, 4}, other_volume[16] = {1, 2, 3, 5};

struct vault {
    const char *folder;
    char *file_url, *token_url;
    struct secret *secret;
};

static char *in_folder(const struct vault *v, const char *name)
{
    char *path;
    assert_true(asprintf(&path, "%s/%s", v->folder, name) > 0);
    return path;
}

static char *token_url(const struct vault *v, const char *object, const char *pin)
{
    char *url;
    assert_true(asprintf(&url,
                         "pkcs11:token=encroot;object=%s;type=secret-key?pin-source=file:%s/%s"
                         "&module-path=" SOFT_TOKEN_MODULE,
                         object, v->folder, pin) > 0);
    return url;
}

static int set_up(void **state)
{
    struct vault *v = calloc(1, sizeof(*v));
    assert_int_equal(scratch_setup(state), 0);
    v->folder = scratch;
    _free_ char *path = in_folder(v, "vault.kek");
    struct error err = {0};
    if (kek_create_file(path, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(asprintf(&v->file_url, "file:%s", path) > 0);
    v->secret = secret_random(32);
    assert_non_null(v->secret);
    *state = v;
    return 0;
}

static int set_up_token(void **state)
{
    set_up(state);
    struct vault *v = *state;
    soft_token_make(v->folder);
    soft_token_keygen(v->folder, "AES:32", "kek", "01");
    v->token_url = token_url(v, "kek", "pin");
    return 0;
}

static int tear_down(void **state)
{
    struct vault *v = *state;
    secret_free(v->secret);
    free(v->file_url);
    free(v->token_url);
    free(v);
    return scratch_teardown(state);
}

static void ring_add(struct kek_ring *r, const char *url)
{
    struct error err = {0};
    if (kek_open(&r->keys[r->count], url, &err) < 0)
        fail_msg("%s", err.text);
    r->count++;
}
#define _ring_ _cleanup_(kek_ring_close)

static void wrap(const struct kek_ring *r, const struct secret *s, struct buffer *ret)
{
    struct error err = {0};
    if (kek_wrap(r, volume, s, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static void assert_opens(const struct kek_ring *r, const struct buffer *wrapped,
                         const struct secret *expected)
{
    _secret_ struct secret *s = NULL;
    struct error err = {0};
    if (kek_unwrap(r, volume, buffer_bytes(wrapped), &s, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(secret_equal(s, expected));
}

static void assert_unwrap_fails(const struct kek_ring *r, const uint8_t of[16],
                                struct bytes wrapped, int code)
{
    struct secret *s = NULL;
    struct error err = {0};
    assert_int_equal(kek_unwrap(r, of, wrapped, &s, &err), code);
    assert_null(s);
    assert_true(err.text[0]);
}

static void assert_open_fails(const char *url, int code, const char *says)
{
    struct kek *k = NULL;
    struct error err = {0};
    int r = kek_open(&k, url, &err);
    if (r != code || !strstr(err.text, says))
        fail_msg("%s: expected %d, \"%s\"; found %d, \"%s\"", url, code, says, r, err.text);
    assert_null(k);
    assert_null(strstr(err.text, "1234"));
    assert_null(strstr(err.text, "pin-value"));
}

/* ---- what any key does ---- */
static void wrap_and_unwrap(const char *url)
{
    _ring_ struct kek_ring r = {0};
    ring_add(&r, url);
    static const size_t sizes[] = {1, 15, 16, 32, 4056};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        _secret_ struct secret *s = secret_random(sizes[i]);
        _buffer_ struct buffer one = {0}, two = {0};
        wrap(&r, s, &one);
        wrap(&r, s, &two);
        assert_int_equal(one.size, KEK_WRAPPED_SIZE(sizes[i]));
        assert_memory_equal(one.data, "EKW1", 4);
        assert_memory_equal(one.data + 4, kek_id(r.keys[0]), KEK_ID_SIZE);
        assert_memory_not_equal(one.data + 12, two.data + 12, 12); /* nonces */
        if (sizes[i] > 1)
            assert_null(memmem(one.data, one.size, secret_data(s), sizes[i]));
        assert_opens(&r, &one, s);
        assert_opens(&r, &two, s);
        assert_true(kek_is_current(&r, buffer_bytes(&one)));
        assert_unwrap_fails(&r, other_volume, buffer_bytes(&one), -EBADMSG);
    }
    _secret_ struct secret *too_long = secret_random(4057);
    _buffer_ struct buffer none = {0};
    struct error err = {0};
    assert_int_equal(kek_wrap(&r, volume, too_long, &none, &err), -EINVAL);
    assert_int_equal(none.size, 0);
}

/* Exhaustive: no change, no length but its own. */
static void refuse_every_change(const struct vault *v, const char *url, int bits)
{
    _ring_ struct kek_ring r = {0};
    ring_add(&r, url);
    _buffer_ struct buffer w = {0};
    wrap(&r, v->secret, &w);
    for (size_t i = 0; i < w.size; i++)
        for (int bit = 0; bit < bits; bit++) {
            bool of_id = i >= 4 && i < 4 + KEK_ID_SIZE;
            w.data[i] ^= (uint8_t)(1 << bit);
            assert_unwrap_fails(&r, volume, buffer_bytes(&w), of_id ? -ENOKEY : -EBADMSG);
            w.data[i] ^= (uint8_t)(1 << bit);
        }
    for (size_t n = 0; n < w.size; n++)
        assert_unwrap_fails(&r, volume, BYTES(w.data, n), -EBADMSG);
    _buffer_ struct buffer grown = {0};
    assert_int_equal(buffer_append(&grown, w.data, w.size), 0);
    while (grown.size < KEK_WRAPPED_MAX + 2) {
        assert_int_equal(buffer_append(&grown, "", 1), 0);
        assert_unwrap_fails(&r, volume, buffer_bytes(&grown), -EBADMSG);
    }
    assert_opens(&r, &w, v->secret);
}

static void a_file_wraps_and_unwraps(void **state)
{
    struct vault *v = *state;
    wrap_and_unwrap(v->file_url);
}

static void a_file_refuses_every_change(void **state)
{
    struct vault *v = *state;
    refuse_every_change(v, v->file_url, 8);
}

/* The definition in the header, by OpenSSL alone: what is in stores must open in ten years. */
static void the_format_is_what_the_header_says(void **state)
{
    struct vault *v = *state;
    static const uint8_t key[32] = {7}, secret[32] = {9}, nonce[12] = {3};
    static const char domain[] = "encroot vault v1";
    _free_ char *path = in_folder(v, "known.kek"), *url = NULL;
    assert_int_equal(write_file_atomic(path, BYTES_OF(key), 0600, false, NULL), 0);
    assert_true(asprintf(&url, "file:%s", path) > 0);
    _ring_ struct kek_ring r = {0};
    ring_add(&r, url);
    /* By python3-cryptography: hmac(AESGCM(key).encrypt(bytes(12), bytes(16), label), label). */
    static const uint8_t id[KEK_ID_SIZE] = {0x14, 0x98, 0x43, 0x99, 0x6d, 0xb2, 0x3e, 0x9f};
    assert_memory_equal(kek_id(r.keys[0]), id, sizeof(id));
    uint8_t w[KEK_WRAPPED_SIZE(32)] = "EKW1";
    int n;
    memcpy(w + 4, id, 8);
    memcpy(w + 12, nonce, 12);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce), 1);
    assert_int_equal(EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)domain, sizeof(domain)), 1);
    assert_int_equal(EVP_EncryptUpdate(c, NULL, &n, id, sizeof(id)), 1);
    assert_int_equal(EVP_EncryptUpdate(c, NULL, &n, volume, sizeof(volume)), 1);
    assert_int_equal(EVP_EncryptUpdate(c, w + 24, &n, secret, sizeof(secret)), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, w + 56, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, w + 56), 1);
    EVP_CIPHER_CTX_free(c);
    _secret_ struct secret *s = NULL;
    struct error err = {0};
    assert_int_equal(kek_unwrap(&r, volume, BYTES_OF(w), &s, &err), 0);
    assert_memory_equal(secret_data(s), secret, sizeof(secret));
}

static void two_keys_and_a_rewrap(void **state)
{
    struct vault *v = *state;
    _free_ char *path = in_folder(v, "new.kek"), *url = NULL;
    assert_int_equal(kek_create_file(path, NULL), 0);
    assert_true(asprintf(&url, "file:%s", path) > 0);
    _ring_ struct kek_ring old = {0}, both = {0}, new = {0};
    _buffer_ struct buffer before = {0}, after = {0};
    ring_add(&old, v->file_url);
    ring_add(&both, url);
    ring_add(&both, v->file_url);
    ring_add(&new, url);
    assert_memory_not_equal(kek_id(old.keys[0]), kek_id(new.keys[0]), KEK_ID_SIZE);
    wrap(&old, v->secret, &before);
    assert_false(kek_is_current(&both, buffer_bytes(&before)));
    assert_opens(&both, &before, v->secret);
    wrap(&both, v->secret, &after);
    assert_true(kek_is_current(&both, buffer_bytes(&after)));
    assert_opens(&new, &after, v->secret);
    assert_unwrap_fails(&new, volume, buffer_bytes(&before), -ENOKEY);
    assert_unwrap_fails(&old, volume, buffer_bytes(&after), -ENOKEY);
}

static void a_ring_of_none(void **state)
{
    struct vault *v = *state;
    _ring_ struct kek_ring r = {0}, none = {0};
    _buffer_ struct buffer w = {0}, nothing = {0};
    ring_add(&r, v->file_url);
    wrap(&r, v->secret, &w);
    assert_int_equal(kek_wrap(&none, volume, v->secret, &nothing, NULL), -ENOKEY);
    assert_unwrap_fails(&none, volume, buffer_bytes(&w), -ENOKEY);
    assert_false(kek_is_current(&none, buffer_bytes(&w)));
    assert_false(kek_is_current(&r, BYTES_STR("EKW1")));
    assert_false(kek_is_current(&r, BYTES_NONE));
}

/* ---- files and credentials ---- */
static void what_a_file_must_be(void **state)
{
    struct vault *v = *state;
    const char *path = v->file_url + strlen("file:");
    struct error err = {0};
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(kek_create_file(path, &err), -EEXIST);
    static const mode_t modes[] = {0640, 0620, 0604, 0601, 0644};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_open_fails(v->file_url, -EPERM, "open to others");
    }
    assert_int_equal(chmod(path, 0600), 0);
    static const size_t sizes[] = {0, 16, 31, 33};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        static const uint8_t zeros[33];
        assert_int_equal(write_file_atomic(path, BYTES(zeros, sizes[i]), 0600, true, NULL), 0);
        assert_open_fails(v->file_url, -EINVAL, "expected a key of 32 bytes");
    }
    assert_int_equal(unlink(path), 0);
    assert_open_fails(v->file_url, -ENOENT, "vault.kek");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_open_fails(v->file_url, -EINVAL, "not a regular file");
}

static void a_credential_is_a_file_elsewhere(void **state)
{
    struct vault *v = *state;
    _ring_ struct kek_ring r = {0}, same = {0};
    _buffer_ struct buffer w = {0};
    unsetenv("CREDENTIALS_DIRECTORY");
    assert_open_fails("credential:vault.kek", -ENOENT, "$CREDENTIALS_DIRECTORY is not set");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", v->folder, 1), 0);
    ring_add(&r, "credential:vault.kek");
    ring_add(&same, v->file_url);
    wrap(&r, v->secret, &w);
    assert_opens(&same, &w, v->secret);
    assert_open_fails("credential:missing", -ENOENT, "missing");
    static const char *const wrong[] = {"", "..", ".", "../vault.kek", "a/b"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        char url[64];
        snprintf(url, sizeof(url), "credential:%s", wrong[i]);
        assert_open_fails(url, -EINVAL, "not the name of a credential");
    }
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void what_is_no_url(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "vault.kek", "/vault.kek", "FILE:x", "pkcs12:a=b"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_open_fails(wrong[i], -EINVAL, "expected the URL of a key");
}

/* ---- a token ---- */
static void a_token_wraps_and_unwraps(void **state)
{
    struct vault *v = *state;
    wrap_and_unwrap(v->token_url);
}

static void a_token_refuses_every_change(void **state)
{
    struct vault *v = *state;
    refuse_every_change(v, v->token_url, 1);
}

static void from_a_file_to_a_token_and_back(void **state)
{
    struct vault *v = *state;
    _ring_ struct kek_ring file = {0}, token = {0}, both = {0};
    _buffer_ struct buffer before = {0}, after = {0};
    ring_add(&file, v->file_url);
    ring_add(&token, v->token_url);
    ring_add(&both, v->token_url);
    ring_add(&both, v->file_url);
    wrap(&file, v->secret, &before);
    assert_opens(&both, &before, v->secret);
    wrap(&both, v->secret, &after);
    assert_true(kek_is_current(&both, buffer_bytes(&after)));
    assert_opens(&token, &after, v->secret);
    assert_unwrap_fails(&file, volume, buffer_bytes(&after), -ENOKEY);
    kek_ring_close(&both); /* one of two sessions with the token: the other goes on */
    assert_opens(&token, &after, v->secret);
}

static void a_key_that_moved_into_a_token_is_the_same(void **state)
{
    struct vault *v = *state;
    _ring_ struct kek_ring file = {0}, token = {0};
    _buffer_ struct buffer w = {0};
    soft_token_run(v->folder, (const char *const[]){
                                  "pkcs11-tool", "--module", SOFT_TOKEN_MODULE, "--token-label",
                                  "encroot", "--login", "--pin", "1234", "--write-object",
                                  v->file_url + strlen("file:"), "--type", "secrkey", "--key-type",
                                  "AES:32", "--label", "moved", "--usage-decrypt", NULL});
    _free_ char *url = token_url(v, "moved", "pin");
    ring_add(&file, v->file_url);
    ring_add(&token, url);
    wrap(&file, v->secret, &w);
    assert_opens(&token, &w, v->secret);
    _secret_ struct secret *by_file = seal_keys(&file), *by_token = seal_keys(&token);
    assert_true(secret_equal(by_file, by_token));
}

static void what_a_token_must_have(void **state)
{
    struct vault *v = *state;
    _free_ char *missing = token_url(v, "missing", "pin"), *twice = token_url(v, "twice", "pin"),
                *small = token_url(v, "small", "pin");
    soft_token_keygen(v->folder, "AES:16", "small", "02");
    soft_token_keygen(v->folder, "AES:32", "twice", "03");
    soft_token_keygen(v->folder, "AES:32", "twice", "04");
    assert_open_fails(missing, -ENOENT, "the token has no such AES key");
    assert_open_fails(twice, -EINVAL, "several AES keys match");
    assert_open_fails(small, -EINVAL, "expected an AES key of 32 bytes, found one of 16");
    _free_ char *by_id = NULL;
    assert_true(asprintf(&by_id,
                         "pkcs11:token=encroot;object=twice;id=%%04?pin-source=file:%s/pin"
                         "&module-path=" SOFT_TOKEN_MODULE,
                         v->folder) > 0);
    _ring_ struct kek_ring r = {0};
    ring_add(&r, by_id);
}

static void urls_that_lead_nowhere(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        int code;
        const char *says;
    } cases[] = {
        {"pkcs11:token=other;object=kek?module-path=" SOFT_TOKEN_MODULE, -ENOENT,
         "pkcs11:token=other;object=kek: no token matches"},
        {"pkcs11:token=encroot;object=kek?module-path=" SOFT_TOKEN_MODULE, -EINVAL, "wants a PIN"},
        {"pkcs11:token=encroot;object=kek?pin-value=1234&module-path=" SOFT_TOKEN_MODULE, -EINVAL,
         "a PIN within the URL"},
        {"pkcs11:token=encroot?module-path=" SOFT_TOKEN_MODULE, -EINVAL, "names no key"},
        {"pkcs11:object=kek;type=private?module-path=" SOFT_TOKEN_MODULE, -EINVAL, "secret-key"},
        {"pkcs11:object=kek;color=red?pin-value=1234", -EINVAL, "mean nothing"},
        {"pkcs11:object=%zz?pin-value=1234", -EINVAL, "not a PKCS#11 URL"},
        {"pkcs11:token=encroot;object=kek?module-path=/no/such.so", -ENOENT, "/no/such.so"},
        {"pkcs11:token=encroot;object=kek?pin-source=env:X&module-path=" SOFT_TOKEN_MODULE, -EINVAL,
         "pin-source: expected file:PATH"},
        {"pkcs11:token=encroot;object=kek?pin-source=file:/no/pin&module-path=" SOFT_TOKEN_MODULE,
         -ENOENT, "/no/pin"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_open_fails(cases[i].url, cases[i].code, cases[i].says);
}

static void write_pin(const struct vault *v, const char *text, mode_t mode)
{
    _free_ char *path = in_folder(v, "pin");
    assert_int_equal(write_file_atomic(path, BYTES_STR(text), mode, true, NULL), 0);
}

static void what_a_pin_must_be(void **state)
{
    struct vault *v = *state;
    write_pin(v, "4321", 0600);
    assert_open_fails(v->token_url, -EKEYREJECTED, "refuses the PIN (CKR_PIN_INCORRECT)");
    write_pin(v, "1234", 0640);
    assert_open_fails(v->token_url, -EPERM, "open to others");
    write_pin(v, "", 0600);
    assert_open_fails(v->token_url, -EINVAL, "expected a PIN");
    write_pin(v, "\n", 0600);
    assert_open_fails(v->token_url, -EINVAL, "expected a PIN");
    char huge[TOKEN_PIN_MAX + 2];
    memset(huge, '1', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    write_pin(v, huge, 0600);
    assert_open_fails(v->token_url, -EINVAL, "expected a PIN");
    write_pin(v, "1234", 0600); /* without a line end */
    _ring_ struct kek_ring r = {0};
    ring_add(&r, v->token_url);
}

static void a_session_that_is_gone_is_opened_again(void **state)
{
    struct vault *v = *state;
    _ring_ struct kek_ring r = {0};
    _buffer_ struct buffer w = {0}, again = {0};
    ring_add(&r, v->token_url);
    wrap(&r, v->secret, &w);
    soft_token_lose_sessions();
    assert_opens(&r, &w, v->secret);
    soft_token_lose_sessions();
    wrap(&r, v->secret, &again);
    assert_opens(&r, &again, v->secret);
}

static void a_refused_pin_is_not_tried_again(void **state)
{
    struct vault *v = *state;
    _ring_ struct kek_ring r = {0};
    _buffer_ struct buffer w = {0}, none = {0};
    ring_add(&r, v->token_url);
    wrap(&r, v->secret, &w);
    write_pin(v, "4321", 0600);
    soft_token_lose_sessions();
    struct error err = {0};
    assert_int_equal(kek_wrap(&r, volume, v->secret, &none, &err), -EKEYREJECTED);
    assert_non_null(strstr(err.text, "CKR_PIN_INCORRECT"));
    write_pin(v, "1234", 0600);
    assert_int_equal(kek_wrap(&r, volume, v->secret, &none, &err), -EKEYREJECTED);
    assert_non_null(strstr(err.text, "not tried again"));
    assert_unwrap_fails(&r, volume, buffer_bytes(&w), -EKEYREJECTED);
    assert_int_equal(none.size, 0);
}

/* What it wrapped would be called by the name of the first, and be lost. */
static void another_key_of_the_same_name_is_not_taken(void **state)
{
    struct vault *v = *state;
    _ring_ struct kek_ring r = {0};
    _buffer_ struct buffer w = {0}, none = {0};
    struct error err = {0};
    ring_add(&r, v->token_url);
    wrap(&r, v->secret, &w);
    soft_token_remove_key(v->folder, "kek");
    soft_token_keygen(v->folder, "AES:32", "kek", "01");
    soft_token_lose_sessions();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kek_wrap(&r, volume, v->secret, &none, &err), -ENOENT);
        assert_non_null(strstr(err.text, "another key of that name"));
        assert_unwrap_fails(&r, volume, buffer_bytes(&w), -ENOENT);
    }
    assert_int_equal(none.size, 0);
}

/* In a process of its own, for nothing can be taken back. No assertions: they would leap out of it.
 */
static int use_confined(const struct vault *v)
{
    struct kek_ring r = {.count = 1};
    _buffer_ struct buffer w = {0}, again = {0};
    /* Its own: secrets do not survive a fork. */
    _secret_ struct secret *s = NULL, *secret = secret_random(32);
    struct error err = {0};
    CK_FUNCTION_LIST *module = NULL;
    int n = confine_early(ROLE_KEEPER, &err);
    if (n == 0)
        n = kek_open(&r.keys[0], v->token_url, &err);
    if (n == 0)
        module = soft_token_module();
    if (n == 0)
        n = confine(ROLE_KEEPER, &err);
    if (n == 0)
        n = kek_wrap(&r, volume, secret, &w, &err);
    if (n == 0 && !soft_token_lose_sessions_of(module))
        n = error_set(&err, EIO, "the sessions stay");
    if (n == 0)
        n = kek_unwrap(&r, volume, buffer_bytes(&w), &s, &err);
    if (n == 0)
        n = kek_wrap(&r, volume, secret, &again, &err);
    if (n < 0)
        fprintf(stderr, "%s\n", err.text);
    return n == 0 && secret_equal(s, secret) ? 0 : 1;
}

/* With the keeper's filter (daemon/confine.h), also when the session must be opened again. */
static void a_token_works_in_a_confined_process(void **state)
{
    struct vault *v = *state;
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(use_confined(v));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %x (a signal 31: a call that the filter forbids)", status);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define TOKEN_CASE(f) cmocka_unit_test_setup_teardown(f, set_up_token, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_file_wraps_and_unwraps),
        CASE(a_file_refuses_every_change),
        CASE(the_format_is_what_the_header_says),
        CASE(two_keys_and_a_rewrap),
        CASE(a_ring_of_none),
        CASE(what_a_file_must_be),
        CASE(a_credential_is_a_file_elsewhere),
        CASE(what_is_no_url),
        TOKEN_CASE(a_token_wraps_and_unwraps),
        TOKEN_CASE(a_token_refuses_every_change),
        TOKEN_CASE(from_a_file_to_a_token_and_back),
        TOKEN_CASE(a_key_that_moved_into_a_token_is_the_same),
        TOKEN_CASE(what_a_token_must_have),
        TOKEN_CASE(urls_that_lead_nowhere),
        TOKEN_CASE(what_a_pin_must_be),
        TOKEN_CASE(a_session_that_is_gone_is_opened_again),
        TOKEN_CASE(a_refused_pin_is_not_tried_again),
        TOKEN_CASE(another_key_of_the_same_name_is_not_taken),
        TOKEN_CASE(a_token_works_in_a_confined_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
