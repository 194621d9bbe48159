#include "unit.h"
#include "base/hex.h"
#include "crypto/digest.h"
#include "crypto/volume_key.h"

static void digests_match_known_values(void **state)
{
    (void)state;
    struct digest d;
    char hex[DIGEST_HEX_SIZE];
    assert_int_equal(digest_compute(&d, HASH_SHA256, BYTES_STR("abc")), 0);
    digest_hex(&d, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(digest_compute(&d, HASH_NONE, BYTES_STR("abc")), -EIO);
    assert_int_equal(hash_by_name("sha-384"), HASH_SHA384);
    assert_int_equal(hash_by_name("sha512"), HASH_SHA512);
    assert_int_equal(hash_by_name("md5"), HASH_NONE);
}

static void extend_is_hash_of_both(void **state)
{
    (void)state;
    struct digest reg = {.alg = HASH_SHA256, .size = 32};
    uint8_t one[32] = {1};
    uint8_t both[64] = {0};
    both[32] = 1;
    struct digest expected;
    assert_int_equal(digest_compute(&expected, HASH_SHA256, BYTES_OF(both)), 0);
    assert_int_equal(digest_extend(&reg, BYTES_OF(one)), 0);
    assert_true(digest_equal(&reg, &expected));
}

/* Computed with: openssl kdf -keylen 64 -kdfopt digest:SHA512 -kdfopt hexkey:00..1f
 * -kdfopt hexsalt:a0..af -kdfopt info:"encroot volume key v1" HKDF */
static void volume_key_is_hkdf_of_secret_and_uuid(void **state)
{
    (void)state;
    _secret_ struct secret *s = secret_new(VOLUME_SECRET_SIZE);
    for (int i = 0; i < VOLUME_SECRET_SIZE; i++)
        secret_data(s)[i] = (uint8_t)i;
    uint8_t uuid[16];
    for (int i = 0; i < 16; i++)
        uuid[i] = (uint8_t)(0xa0 + i);
    _secret_ struct secret *key = NULL;
    struct error e = {0};
    assert_int_equal(volume_key_derive(&key, s, uuid, &e), 0);
    char hex[129];
    hex_encode(secret_bytes(key), hex);
    assert_string_equal(hex, "3405dfdeb7ec89eece02e44fd9670277355104e25b29959f4c8e8e0a15ecadd8"
                             "babb23c2fecd6a10c7564899e2f377b963df56db6a9c5b4676fa59e8ceae600f");

    uint8_t id[16], again[16];
    assert_int_equal(volume_uuid_derive(id, s, uuid, &e), 0);
    assert_int_equal(volume_uuid_derive(again, s, uuid, &e), 0);
    assert_memory_equal(id, again, 16);
    assert_int_equal(id[6] >> 4, 8);
    uuid[0] ^= 1;
    assert_int_equal(volume_uuid_derive(again, s, uuid, &e), 0);
    assert_memory_not_equal(id, again, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_match_known_values),
        cmocka_unit_test(extend_is_hash_of_both),
        cmocka_unit_test(volume_key_is_hkdf_of_secret_and_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
