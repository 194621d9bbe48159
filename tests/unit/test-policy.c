/* The policy file: every member is read, absent ones accept nothing, wrong ones are named. */
#include "unit.h"
#include "appraise/policy.h"
#include "appraise/trust_vector.h"
#include "base/hex.h"
#include "base/json.h"
#include "chain.h"
#include "crypto/base64.h"

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define BOOT                                                                                       \
    "{\"grub\":\"" HEX32 "\",\"grub.cfg\":\"" HEX32 "\",\"kernels\":[],\"hash_alg\":\"sha-256\"}"

static struct chain chain;

static int setup(void **state)
{
    (void)state;
    return chain_make(&chain, "vendor", EVP_EC_gen("P-521")) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    chain_free(&chain);
    return 0;
}

static json_t *pem(const X509 *c)
{
    _buffer_ struct buffer text = {0};
    assert_int_equal(certificate_encode(c, true, &text, NULL), 0);
    return json_stringn((const char *)text.data, text.size);
}

static json_t *pin(const X509 *c)
{
    uint8_t hash[32];
    char hex[65];
    assert_int_equal(certificate_sha256(c, hash), 0);
    hex_encode(BYTES_OF(hash), hex);
    return json_string(hex);
}

/* A policy with every member. */
static json_t *whole(void)
{
    json_t *j = json_loads(
        "{\"version\":1,\"volume\":\"91ff6f1b-bd8d-854b-9895-3c702895c1f8\","
        "\"platforms\":[\"virtcca\"],\"rim\":[\"" HEX32 "\"],"
        "\"platform\":{\"lifecycle\":[\"secured\",\"decommissioned\"],"
        "\"profiles\":[\"p\"],\"implementation_ids\":[\"" HEX32 "\"],\"instance_ids\":[\"01" HEX32
        "\"],\"configurations\":[\"00\"],\"components\":[{\"type\":\"ipu\",\"measurements\":"
        "[\"" HEX32 "\"],\"signer_ids\":[\"ff\"],\"min_version\":\"1.20\"}]},"
        "\"boot\":[" BOOT "],\"records\":[\"" HEX32 "\"],"
        "\"waive\":[\"secure-boot\",\"platform-instance\"]}",
        0, NULL);
    assert_non_null(j);
    json_object_set_new(j, "trust",
                        json_pack("{s:[o],s:[o,o],s:[s],s:[s]}", "roots", pin(chain.root),
                                  "certificates", pem(chain.root), pem(chain.intermediate),
                                  "subjects", "CN=x", "keys", HEX32));
    return j;
}

static int parse(struct policy **ret, const json_t *j, struct error *err)
{
    _free_ char *text = json_dumps(j, 0);
    assert_non_null(text);
    return policy_parse(ret, BYTES_STR(text), "p.json", NULL, err);
}

static void every_member_is_read(void **state)
{
    (void)state;
    _json_ json_t *j = whole();
    _policy_ struct policy *policy = NULL;
    struct error err = {0};
    if (parse(&policy, j, &err) < 0)
        fail_msg("%s", err.text);
    const struct appraisal_policy *p = &policy->appraisal;
    assert_int_equal(p->volume[0], 0x91);
    assert_string_equal(p->platforms[0], "virtcca");
    assert_null(p->platforms[1]);
    assert_int_equal(p->initial_count, 1);
    assert_int_equal(p->initial[0].bytes[31], 0x1f);
    assert_int_equal(p->boot_count, 1);
    assert_int_equal(p->boot[0].grub.bytes[1], 1);
    assert_int_equal(p->records.count, 1);
    assert_true(waives(p->records.waivers, WAIVER_SECURE_BOOT));
    assert_false(waives(p->records.waivers, WAIVER_PLATFORM_TABLES));
    assert_true(waives(p->records.waivers, WAIVER_SEPARATOR)); /* always */
    const struct platform_policy *q = &p->platform;
    assert_true(waives(q->waivers, WAIVER_PLATFORM_INSTANCE));
    assert_int_equal(q->lifecycles.count, 2);
    assert_int_equal(q->lifecycles.list[1].data[0], 0x60);
    assert_true(bytes_equal(q->profiles.list[0], BYTES_STR("p")));
    assert_int_equal(q->implementations.list[0].size, 32);
    assert_int_equal(q->instances.list[0].size, 33);
    assert_int_equal(q->configurations.list[0].size, 1);
    assert_int_equal(q->component_count, 1);
    assert_true(bytes_equal(q->components[0].type, BYTES_STR("ipu")));
    assert_true(bytes_equal(q->components[0].version_min, BYTES_STR("1.20")));
    assert_int_equal(q->components[0].measurements.count, 1);
    assert_int_equal(q->components[0].signers.list[0].data[0], 0xff);
    assert_true(bytes_equal(q->subjects.list[0], BYTES_STR("CN=x")));
    assert_int_equal(q->keys.count, 1);
    assert_int_equal(certificate_verify_chain(chain.aik, q->anchors, NULL, NULL), 0);
}

static void what_is_absent_accepts_nothing(void **state)
{
    (void)state;
    static const char text[] = "{\"version\":1,\"platforms\":[]}";
    _policy_ struct policy *policy = NULL;
    assert_int_equal(policy_parse(&policy, BYTES_STR(text), "p", NULL, NULL), 0);
    const struct appraisal_policy *p = &policy->appraisal;
    assert_null(p->platforms[0]);
    assert_int_equal(p->initial_count + p->boot_count + p->records.count, 0);
    assert_null(p->platform.anchors);
    assert_int_equal(p->records.waivers | p->platform.waivers, WAIVERS_NONE);
}

/* One member changed: `path` is up to three keys; `value` is JSON, NULL removes. */
static const struct {
    const char *object; /* NULL: the root */
    const char *key;
    const char *value;
    const char *error;
} wrong[] = {
    {NULL, "version", NULL, "\"version\" is missing"},
    {NULL, "version", "2", "expected 1, found 2"},
    {NULL, "surprise", "1", "unknown member \"surprise\""},
    {NULL, "volume", "\"x\"", "not a UUID"},
    {NULL, "platforms", NULL, "\"platforms\" is missing"},
    {NULL, "platforms", "[1]", "expected a string"},
    {NULL, "rim", "[\"12\"]", "\"rim\"[0]: expected 64, 96 or 128 hexadecimal digits"},
    {NULL, "rim", "\"" HEX32 "\"", "\"rim\" must be an array"},
    {NULL, "records", "[7]", "\"records\"[0]"},
    {NULL, "boot", "[\"a.hash.json\"]", "this policy cannot name files"},
    {NULL, "boot", "[3]", "expected a file name or an object"},
    {NULL, "boot", "[{\"hash_alg\":\"sha-256\"}]", "boot[0]"},
    {NULL, "waive", "[\"everything\"]", "no rule is called \"everything\""},
    {NULL, "trust", "[]", "\"trust\" must be an object"},
    {"trust", "surprise", "1", "p.json: trust: unknown member"},
    {"trust", "roots", "[\"" HEX32 "\"]", "is pinned, but is not among the \"certificates\""},
    {"trust", "certificates", "[\"no such file\"]", "this policy cannot name files"},
    {"trust", "keys", "[\"00\"]", "\"keys\"[0]: expected 64 hexadecimal digits"},
    {"trust", "subjects", "[\"\"]", "\"subjects\"[0]: expected a text"},
    {"platform", "surprise", "1", "p.json: platform: unknown member"},
    {"platform", "token", "\"maybe\"", "p.json: platform: unknown member"},
    {"trust", "revocation", "\"maybe\"", "expected \"if-present\" or \"required\""},
    {"trust", "dates", "true", "expected \"ignored\" or \"checked\""},
    {"platform", "lifecycle", "[\"fine\"]", "\"lifecycle\"[0]: expected unknown,"},
    {"platform", "instance_ids", "[\"0\"]", "\"instance_ids\"[0]: expected 2 to 128"},
    {"platform", "components", "[{}]", "components[0]: \"type\" is missing"},
    {"platform", "components", "[{\"type\":\"a\"}]", "needs \"measurements\" or \"min_version\""},
    {"platform", "components", "[{\"type\":\"a\",\"min_version\":\"v1\"}]", "numbers and dots"},
    {"platform", "components", "[{\"type\":\"a\",\"min_version\":\"1\",\"x\":1}]",
     "components[0]: unknown member \"x\""},
};

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        _json_ json_t *j = whole();
        _policy_ struct policy *policy = NULL;
        struct error err = {0};
        json_t *object = wrong[i].object ? json_object_get(j, wrong[i].object) : j;
        if (wrong[i].value)
            json_object_set_new(object, wrong[i].key,
                                json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(object, wrong[i].key);
        assert_true(parse(&policy, j, &err) < 0);
        assert_null(policy);
        if (!strstr(err.text, wrong[i].error))
            fail_msg("case %zu: expected \"%s\", found \"%s\"", i, wrong[i].error, err.text);
    }
}

static void a_root_that_is_not_pinned_is_no_root(void **state)
{
    (void)state;
    _json_ json_t *j = whole();
    _policy_ struct policy *policy = NULL;
    json_object_set_new(json_object_get(j, "trust"), "roots", json_array());
    assert_int_equal(parse(&policy, j, NULL), 0);
    assert_int_not_equal(
        certificate_verify_chain(chain.aik, policy->appraisal.platform.anchors, NULL, NULL), 0);
}

static void rules_have_names_and_reasons(void **state)
{
    (void)state;
    for (int w = 0; w < WAIVER_COUNT; w++) {
        assert_int_equal(waiver_by_name(waiver_name((enum waiver)w)), w);
        assert_true(strlen(waiver_rules[w].reason) > 10);
        assert_int_equal(waives(WAIVERS_NONE, (enum waiver)w), waiver_rules[w].always);
        assert_true(waives(WAIVERS_ALL, (enum waiver)w));
    }
    assert_int_equal(waiver_by_name("everything"), -1);
}

static void the_trust_vector_is_the_worst_of_each_claim(void **state)
{
    (void)state;
    _findings_ struct findings f = {0};
    struct trust_vector v = trust_vector_of(&f);
    assert_int_equal(v.status, TRUST_CONTRAINDICATED); /* nothing was checked */
    finding_add(&f, "token.platform.chain", VERDICT_PASS, "a", "a");
    finding_waive(&f, "waived.separator", WAIVER_SEPARATOR, "1 record");
    v = trust_vector_of(&f);
    assert_int_equal(v.status, TRUST_AFFIRMING);
    assert_int_equal(v.claims[TRUST_INSTANCE_IDENTITY], TRUST_AFFIRMING);
    assert_int_equal(v.claims[TRUST_EXECUTABLES], TRUST_NONE);
    finding_waive(&f, "waived.platform-tables", WAIVER_PLATFORM_TABLES, "3 records");
    v = trust_vector_of(&f);
    assert_int_equal(v.status, TRUST_WARNING);
    assert_int_equal(v.claims[TRUST_CONFIGURATION], TRUST_WARNING);
    finding_add(&f, "boot.kernel", VERDICT_REJECT, "a", "b");
    v = trust_vector_of(&f);
    assert_int_equal(v.status, TRUST_CONTRAINDICATED);
    assert_int_equal(v.claims[TRUST_EXECUTABLES], TRUST_CONTRAINDICATED);
    assert_int_equal(v.claims[TRUST_INSTANCE_IDENTITY], TRUST_AFFIRMING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_is_read),
        cmocka_unit_test(what_is_absent_accepts_nothing),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_root_that_is_not_pinned_is_no_root),
        cmocka_unit_test(rules_have_names_and_reasons),
        cmocka_unit_test(the_trust_vector_is_the_worst_of_each_claim),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
