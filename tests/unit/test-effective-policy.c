/* The policy that guests are appraised by: the owner's, with each valid version of reference
 * values; what could accept nobody, or names what is not in it, is refused. */
#include "unit.h"
#include "appraise/policy.h"
#include "base/hex.h"
#include "chain.h"
#include "daemon/effective_policy.h"

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define UUID "91ff6f1b-bd8d-854b-9895-3c702895c1f8"
#define BOOT(first)                                                                                \
    "{\"grub\":\"" first "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\","       \
    "\"grub.cfg\":\"" HEX32 "\",\"kernels\":[],\"hash_alg\":\"sha-256\"}"

static struct chain chain;
static uint8_t uuid[16];

static int setup(void **state)
{
    (void)state;
    return uuid_parse(UUID, uuid) < 0 ? -1 : chain_make(&chain, "vendor", EVP_EC_gen("P-521"));
}

static int teardown(void **state)
{
    (void)state;
    chain_free(&chain);
    return 0;
}

/* What an owner writes: everything but reference values and the volume. */
static json_t *owners(void)
{
    _buffer_ struct buffer pem = {0};
    uint8_t hash[32];
    char hex[65];
    assert_int_equal(certificate_encode(chain.root, true, &pem, NULL), 0);
    assert_int_equal(certificate_sha256(chain.root, hash), 0);
    hex_encode(BYTES_OF(hash), hex);
    json_t *j = json_pack("{s:i, s:[s], s:[s], s:{s:[s], s:[s%]}, s:[s, s, s, s, s, s]}", "version",
                          1, "platforms", "virtcca", "rim", HEX32, "trust", "roots", hex,
                          "certificates", (char *)pem.data, pem.size, "waive", "attestation-key",
                          "platform-profile", "platform-implementation", "platform-instance",
                          "platform-configuration", "platform-components");
    assert_non_null(j);
    return j;
}

static struct store_values version(uint32_t number, bool valid, const char *text)
{
    struct store_values v = {.version = number, .valid = valid};
    v.text = (struct buffer){.data = (uint8_t *)(uintptr_t)text, .size = strlen(text)};
    return v;
}

static void valid_versions_are_added(void **state)
{
    (void)state;
    _json_ json_t *j = owners();
    _json_ json_t *before = json_deep_copy(j);
    _buffer_ struct buffer text = {0};
    _policy_ struct policy *p = NULL;
    struct error err = {0};
    const struct store_values values[] = {
        version(1, true, BOOT("a1")), version(2, false, BOOT("b2")), version(3, true, BOOT("c3"))};
    if (effective_policy_make(&text, j, uuid, values, 3, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(json_equal(j, before));
    assert_int_equal(policy_parse(&p, buffer_bytes(&text), "p", NULL, &err), 0);
    assert_int_equal(p->appraisal.boot_count, 2);
    assert_int_equal(p->appraisal.boot[0].grub.bytes[0], 0xa1);
    assert_int_equal(p->appraisal.boot[1].grub.bytes[0], 0xc3);
    assert_memory_equal(p->appraisal.volume, uuid, 16);
}

static void the_owners_own_sets_stay(void **state)
{
    (void)state;
    _json_ json_t *j = owners();
    _buffer_ struct buffer text = {0};
    _policy_ struct policy *p = NULL;
    struct error err = {0};
    const struct store_values one = version(7, true, BOOT("a1"));
    json_object_set_new(j, "boot", json_pack("[o]", json_loads(BOOT("dd"), 0, NULL)));
    json_object_set_new(j, "volume", json_string(UUID));
    assert_int_equal(effective_policy_make(&text, j, uuid, &one, 1, &err), 0);
    assert_int_equal(policy_parse(&p, buffer_bytes(&text), "p", NULL, &err), 0);
    assert_int_equal(p->appraisal.boot_count, 2);
    assert_int_equal(p->appraisal.boot[0].grub.bytes[0], 0xdd);
    assert_int_equal(p->appraisal.boot[1].grub.bytes[0], 0xa1);
}

/* One member of the policy changed (`value` is JSON; NULL removes), or other values. */
static const struct {
    const char *key, *value;
    const char *values; /* of version 1, which is valid */
    const char *error;
} refused[] = {
    {"volume", "\"11111111-1111-4111-8111-111111111111\"", BOOT("a1"), "another volume"},
    {"volume", "7", BOOT("a1"), "\"volume\" must be a string"},
    {"volume", "\"x\"", BOOT("a1"), "not a UUID"},
    {"version", NULL, BOOT("a1"), "\"version\" is missing"},
    {"surprise", "1", BOOT("a1"), "unknown member \"surprise\""},
    {"boot", "[\"disk.hash.json\"]", BOOT("a1"), "this policy cannot name files"},
    {"boot", "{}", BOOT("a1"), "\"boot\" must be an array"},
    {"trust", "{\"certificates\":[\"/etc/passwd\"]}", BOOT("a1"), "this policy cannot name files"},
    {"boot", "[]", NULL, "no valid reference values"},
    {"rim", "[]", BOOT("a1"), "\"rim\" is empty"},
    {"trust", NULL, BOOT("a1"), "\"trust\" is missing"},
    {"platforms", "[]", BOOT("a1"), "\"platforms\" is empty"},
    {"waive", "[]", BOOT("a1"), "\"attestation-key\" is not waived"},
    {"boot", "[]", "{", "version 1 of the reference values"},
    {"boot", "[]", "{\"hash_alg\":\"sha-256\"}", "version 1 of the reference values"},
};

static void what_accepts_nobody_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        _json_ json_t *j = owners();
        _buffer_ struct buffer text = {0};
        struct error err = {0};
        const struct store_values one =
            version(1, refused[i].values != NULL, refused[i].values ? refused[i].values : "{}");
        if (refused[i].value)
            json_object_set_new(j, refused[i].key,
                                json_loads(refused[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(j, refused[i].key);
        int r = effective_policy_make(&text, j, uuid, &one, 1, &err);
        if (r != -EINVAL || !strstr(err.text, refused[i].error))
            fail_msg("%zu: %d: %s", i, r, err.text);
        assert_int_equal(text.size, 0);
    }
}

static void an_unencrypted_boot_is_refused(void **state)
{
    (void)state;
    static const char plain[] =
        "{\"grub\":\"" HEX32 "\",\"grub.cfg\":\"" HEX32 "\",\"kernels\":[{\"version\":\"1\","
        "\"kernel\":\"" HEX32 "\",\"initramfs\":\"" HEX32 "\",\"cmdline\":[\"/vmlinuz "
        "root=/dev/vda1\"]}],\"hash_alg\":\"sha-256\"}";
    _json_ json_t *j = owners();
    _buffer_ struct buffer text = {0};
    struct error err = {0};
    const struct store_values one = version(1, true, plain);
    assert_int_equal(effective_policy_make(&text, j, uuid, &one, 1, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not encrypted"));
}

static void a_policy_is_an_object(void **state)
{
    (void)state;
    _json_ json_t *j = json_array();
    _buffer_ struct buffer text = {0};
    struct error err = {0};
    assert_int_equal(effective_policy_make(&text, j, uuid, NULL, 0, &err), -EINVAL);
    assert_int_equal(effective_policy_make(&text, NULL, uuid, NULL, 0, &err), -EINVAL);
}

static void size_is_bounded(void **state)
{
    (void)state;
    _json_ json_t *j = owners();
    _buffer_ struct buffer text = {0};
    struct error err = {0};
    const struct store_values one = version(1, true, BOOT("a1"));
    _free_ char *long_text = calloc(1, STORE_POLICY_MAX + 1);
    assert_non_null(long_text);
    memset(long_text, 'x', STORE_POLICY_MAX);
    json_object_set_new(j, "surprise", json_string(long_text));
    assert_int_equal(effective_policy_make(&text, j, uuid, &one, 1, &err), -EFBIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_versions_are_added),
        cmocka_unit_test(the_owners_own_sets_stay),
        cmocka_unit_test(what_accepts_nobody_is_refused),
        cmocka_unit_test(an_unencrypted_boot_is_refused),
        cmocka_unit_test(a_policy_is_an_object),
        cmocka_unit_test(size_is_bounded),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
