/* Seals (vault/seal.h, daemon/seals.h): what they are, byte for byte, and what breaks them. */
#include "unit.h"
#include "base/hex.h"
#include "crypto/digest.h"
#include "daemon/seals.h"
#include "scratch.h"
#include "vault/seal.h"

/* Computed apart, by another library, from the text in vault/seal.h. Key: 00 01 02 .. 1f. */
static const char known[] = "fb87ab3e70c32878c613d805dd69efb1637bbc274f6095b2b5369d13eed964c6"
                            "860ed5c5e8738268";
static const char known_volume[] = "fb87ab3e70c328782600d8e1fd62cab75bb8e0008adf1a86932dc39a8c18"
                                   "71690f51b3ae34d2fba4";
static const char known_request[] = "fb87ab3e70c3287880feb4941bfb3dc33f29ce4f8bd6eb4f009571bd3f32"
                                    "678ff1890d39aaba434b";

static struct secret *keys_of(const uint8_t *first, size_t count)
{
    struct kek_ring ring = {.count = count};
    struct error err = {0};
    for (size_t i = 0; i < count; i++) {
        _secret_ struct secret *key = secret_new(KEK_SIZE);
        for (size_t n = 0; n < KEK_SIZE; n++)
            secret_data(key)[n] = (uint8_t)(first[i] + n);
        unlink("key");
        assert_int_equal(secret_write_file(key, "key", &err), 0);
        assert_int_equal(kek_open(&ring.keys[i], "file:key", &err), 0);
    }
    struct secret *keys = seal_keys(&ring);
    kek_ring_close(&ring);
    assert_non_null(keys);
    assert_int_equal(seal_keys_check(keys, &err), 0);
    return keys;
}

static void assert_is(const uint8_t seal[SEAL_SIZE], const char *expected)
{
    char hex[2 * SEAL_SIZE + 1];
    hex_encode(BYTES(seal, SEAL_SIZE), hex);
    assert_string_equal(hex, expected);
}

static struct store_volume a_volume(void)
{
    struct store_volume v = {.name = "web-1",
                             .enabled = true,
                             .approval = STORE_APPROVAL_MANUAL,
                             .rate_count = 3,
                             .rate_seconds = 3600,
                             .not_before = 5,
                             .not_after = 1234567890123,
                             .revision = 7,
                             .wrapped = {.data = (uint8_t *)(uintptr_t) "wrapped", .size = 7}};
    const struct store_values values = {
        .version = 1,
        .valid = true,
        .label = "label",
        .text = {.data = (uint8_t *)(uintptr_t) "text", .size = 4},
    };
    struct error err = {0};
    memset(v.uuid, 0x11, sizeof(v.uuid));
    assert_int_equal(digest_sha256(BYTES_STR("effective"), v.effective_sha256, &err), 0);
    struct digest_stream *s = sources_begin(BYTES_STR("policy"));
    sources_add(s, &values);
    assert_int_equal(sources_end(s, v.sources_sha256, &err), 0);
    return v;
}

static struct store_request a_request(void)
{
    struct store_request q = {.id = "0123456789abcdef0123456789abcdef",
                              .state = STORE_REQUEST_APPROVED,
                              .peer = "192.0.2.1 port 1",
                              .expires = 600,
                              .decided_by = "root (uid 0)"};
    memset(q.volume, 0x11, sizeof(q.volume));
    memset(q.attester, 0xa7, sizeof(q.attester));
    return q;
}

static void seals_are_the_known_ones(void **state)
{
    (void)state;
    _secret_ struct secret *keys = keys_of((const uint8_t[]){0}, 1);
    struct store_volume v = a_volume();
    struct store_request q = a_request();
    uint8_t seal[SEAL_SIZE];
    struct error err = {0};
    assert_int_equal(seal_make(seal, keys, BYTES_STR("what"), &err), 0);
    assert_is(seal, known);
    assert_int_equal(volume_seal(&v, keys, &err), 0);
    assert_is(v.seal, known_volume);
    assert_int_equal(request_seal(&q, keys, &err), 0);
    assert_is(q.seal, known_request);
}

static void each_bit_counts(void **state)
{
    (void)state;
    _secret_ struct secret *keys = keys_of((const uint8_t[]){0}, 1);
    uint8_t seal[SEAL_SIZE];
    char what[] = "what";
    struct error err = {0};
    assert_int_equal(seal_make(seal, keys, BYTES_STR(what), &err), 0);
    assert_int_equal(seal_check(seal, keys, BYTES_STR(what), &err), 0);
    assert_int_equal(seal_check(seal, keys, BYTES(what, 3), &err), -EBADMSG);
    for (size_t i = 0; i < 8 * SEAL_SIZE; i++) {
        seal[i / 8] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(seal_check(seal, keys, BYTES_STR(what), &err),
                         i < 8 * KEK_ID_SIZE ? -ENOKEY : -EBADMSG);
        seal[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < 8 * strlen(what); i++) {
        what[i / 8] ^= (char)(1 << i % 8);
        assert_int_equal(seal_check(seal, keys, BYTES(what, 4), &err), -EBADMSG);
        what[i / 8] ^= (char)(1 << i % 8);
    }
    assert_int_equal(seal_check((const uint8_t[SEAL_SIZE]){0}, keys, BYTES_STR(what), &err),
                     -EBADMSG);
}

static void all_keys_check_and_the_first_seals(void **state)
{
    (void)state;
    _secret_ struct secret *old = keys_of((const uint8_t[]){7}, 1);
    _secret_ struct secret *both = keys_of((const uint8_t[]){0, 7}, 2);
    uint8_t seal[SEAL_SIZE];
    struct error err = {0};
    assert_int_equal(seal_make(seal, old, BYTES_STR("what"), &err), 0);
    assert_int_equal(seal_check(seal, both, BYTES_STR("what"), &err), 0);
    assert_false(seal_is_current(seal, both));
    assert_int_equal(seal_make(seal, both, BYTES_STR("what"), &err), 0);
    assert_is(seal, known);
    assert_true(seal_is_current(seal, both));
    assert_int_equal(seal_check(seal, old, BYTES_STR("what"), &err), -ENOKEY);
    assert_non_null(strstr(err.text, "fb87ab3e70c32878"));
}

static void what_is_no_key_seals_nothing(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, SEAL_SIZE - 1, SEAL_SIZE + 1};
    struct error err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        _secret_ struct secret *s = secret_new(sizes[i]);
        assert_int_equal(seal_keys_check(s, &err), -EINVAL);
    }
    _secret_ struct secret *small = secret_new(1);
    uint8_t seal[SEAL_SIZE];
    assert_int_equal(seal_make(seal, small, BYTES_STR("what"), &err), -ENOKEY);
}

/* What a text ends and the next begins with is no question. */
static void sources_do_not_run_into_each_other(void **state)
{
    (void)state;
    uint8_t all[4][32];
    static const char *const texts[] = {"ab", "a", "b", ""};
    for (size_t i = 0; i < 4; i++) {
        struct error err = {0};
        const struct store_values v = {
            .text = {.data = (uint8_t *)(uintptr_t)texts[3 - i], .size = strlen(texts[3 - i])}};
        struct digest_stream *s = sources_begin(BYTES_STR(texts[i]));
        sources_add(s, &v);
        assert_int_equal(sources_end(s, all[i], &err), 0);
        for (size_t n = 0; n < i; n++)
            assert_memory_not_equal(all[n], all[i], 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seals_are_the_known_ones),
        cmocka_unit_test(each_bit_counts),
        cmocka_unit_test(all_keys_check_and_the_first_seals),
        cmocka_unit_test(what_is_no_key_seals_nothing),
        cmocka_unit_test(sources_do_not_run_into_each_other),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
