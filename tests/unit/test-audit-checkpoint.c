/* A checkpoint of the audit: who signed what, and in which form (K2). */
#include "unit.h"
#include "base/utc.h"
#include "broker/audit_checkpoint.h"
#include "crypto/public_key.h"

#define TIME ((time_t)1767225599) /* 2025-12-31T23:59:59Z */

static const struct audit_state state_of_test = {.sequence = 0x0102030405060708,
                                                 .hash = {0xaa, 0xbb, [31] = 0xcc}};

static struct audit_checkpoint make(EVP_PKEY *key)
{
    struct audit_checkpoint c = {.state = state_of_test, .time = TIME, .broker = "east"};
    _buffer_ struct buffer der = {0};
    struct error err = {0};
    if (audit_checkpoint_sign(key, &c.state, c.time, &der, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(der.size <= sizeof(c.signature));
    memcpy(c.signature, der.data, der.size);
    c.signature_size = der.size;
    return c;
}

static void what_is_signed(void **state)
{
    (void)state;
    uint8_t text[AUDIT_CHECKPOINT_SIGNED_SIZE];
    static const uint8_t time[8] = {0, 0, 0, 0, 0x69, 0x55, 0xb8, 0xff};
    static const uint8_t sequence[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    audit_checkpoint_signed(&state_of_test, TIME, text);
    assert_memory_equal(text, "encroot audit checkpoint v1", 28);
    assert_memory_equal(text + 28, sequence, 8);
    assert_memory_equal(text + 36, state_of_test.hash, 32);
    assert_memory_equal(text + 68, time, 8);
}

static void keys_of_each_curve_sign(void **state)
{
    (void)state;
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++) {
        _evp_pkey_ EVP_PKEY *key = EVP_EC_gen(curves[i]), *other = EVP_EC_gen(curves[i]);
        struct audit_checkpoint c = make(key);
        struct error err = {0};
        assert_int_equal(audit_checkpoint_verify(&c, key, "c", &err), 0);
        assert_int_equal(audit_checkpoint_verify(&c, other, "c", &err), -EKEYREJECTED);
        assert_non_null(strstr(err.text, "c: the signature is not that of the broker's key"));
    }
}

static void nothing_of_it_can_be_changed(void **state)
{
    (void)state;
    _evp_pkey_ EVP_PKEY *key = EVP_EC_gen("P-256");
    const struct audit_checkpoint good = make(key);
    struct audit_checkpoint c = good;
    c.state.sequence--;
    assert_int_equal(audit_checkpoint_verify(&c, key, "c", NULL), -EKEYREJECTED);
    c = good;
    c.time++;
    assert_int_equal(audit_checkpoint_verify(&c, key, "c", NULL), -EKEYREJECTED);
    for (size_t i = 0; i < AUDIT_HASH_SIZE; i++) {
        c = good;
        c.state.hash[i] ^= 1;
        assert_int_equal(audit_checkpoint_verify(&c, key, "c", NULL), -EKEYREJECTED);
    }
    for (size_t i = 0; i < good.signature_size; i++) {
        c = good;
        c.signature[i] ^= 1;
        assert_int_equal(audit_checkpoint_verify(&c, key, "c", NULL), -EKEYREJECTED);
    }
    c = good;
    c.signature_size--;
    assert_int_equal(audit_checkpoint_verify(&c, key, "c", NULL), -EKEYREJECTED);
}

static void other_keys_sign_nothing(void **state)
{
    (void)state;
    _evp_pkey_ EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
    const struct audit_checkpoint c = make(ec);
    _buffer_ struct buffer der = {0};
    assert_int_equal(audit_checkpoint_sign(rsa, &c.state, TIME, &der, NULL), -ENOTSUP);
    assert_int_equal(der.size, 0);
    assert_int_equal(audit_checkpoint_verify(&c, rsa, "c", NULL), -ENOTSUP);
}

static void its_text_is_read_again(void **state)
{
    (void)state;
    _evp_pkey_ EVP_PKEY *key = EVP_EC_gen("P-521");
    const struct audit_checkpoint c = make(key);
    struct audit_checkpoint again;
    _buffer_ struct buffer text = {0};
    struct error err = {0};
    assert_int_equal(audit_checkpoint_format(&c, &text, &err), 0);
    assert_int_equal(audit_checkpoint_parse(&again, buffer_bytes(&text), "c", &err), 0);
    assert_int_equal(again.state.sequence, c.state.sequence);
    assert_memory_equal(again.state.hash, c.state.hash, AUDIT_HASH_SIZE);
    assert_int_equal(again.time, TIME);
    assert_string_equal(again.broker, "east");
    assert_int_equal(audit_checkpoint_verify(&again, key, "c", &err), 0);
}

static void assert_unreadable(struct bytes text, const char *says)
{
    struct error err = {0};
    struct audit_checkpoint c = {.time = 77};
    assert_int_equal(audit_checkpoint_parse(&c, text, "c", &err), -EINVAL);
    assert_int_equal(c.time, 77);
    if (!strstr(err.text, says))
        fail_msg("expected \"%s\" in \"%s\"", says, err.text);
}

static void assert_member_unreadable(const json_t *good, const char *key, json_t *value)
{
    _json_ json_t *j = json_deep_copy(good);
    char quoted[64];
    if (value)
        assert_int_equal(json_object_set_new(j, key, value), 0);
    else
        assert_int_equal(json_object_del(j, key), 0);
    _free_ char *text = json_dumps(j, 0);
    snprintf(quoted, sizeof(quoted), "\"%s\"", key);
    assert_unreadable(BYTES_STR(text), quoted);
}

static void every_member_must_be_there_and_have_its_form(void **state)
{
    (void)state;
    _evp_pkey_ EVP_PKEY *key = EVP_EC_gen("P-256");
    const struct audit_checkpoint c = make(key);
    _buffer_ struct buffer text = {0};
    char long_text[300];
    _json_ json_t *good = NULL;
    assert_int_equal(audit_checkpoint_format(&c, &text, NULL), 0);
    assert_int_equal(json_parse(&good, buffer_bytes(&text), "c", NULL), 0);
    memset(long_text, 'A', sizeof(long_text));
    const char *name;
    json_t *value;
    json_object_foreach(good, name, value)
    {
        assert_member_unreadable(good, name, NULL);
        assert_member_unreadable(good, name, json_true());
    }
    assert_member_unreadable(good, "version", json_integer(2));
    assert_member_unreadable(good, "sequence", json_integer(-1));
    assert_member_unreadable(good, "broker", json_string(""));
    assert_member_unreadable(good, "broker", json_stringn(long_text, 256));
    assert_member_unreadable(good, "hash", json_string("00"));
    assert_member_unreadable(good, "time", json_string("2026-02-29T00:00:00Z"));
    assert_member_unreadable(good, "signature", json_string(""));
    assert_member_unreadable(good, "signature", json_string("A"));
    assert_member_unreadable(good, "signature", json_stringn(long_text, 216));
    assert_member_unreadable(good, "surprise", json_integer(1));
    assert_unreadable(BYTES_STR("[]"), "must be an object");
    assert_unreadable(BYTES_STR(""), "line 1");
    _free_ uint8_t *huge = calloc(1, AUDIT_CHECKPOINT_MAX + 1);
    assert_unreadable(BYTES(huge, AUDIT_CHECKPOINT_MAX + 1), "longer than");
}

/* ---- times (base/utc.h) ---- */
static void times_are_texts_and_back(void **state)
{
    (void)state;
    static const struct {
        time_t t;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {TIME, "2025-12-31T23:59:59Z"},
        {951782400, "2000-02-29T00:00:00Z"},
        {253402300799, "9999-12-31T23:59:59Z"},
        {-62167219200, "0000-01-01T00:00:00Z"},
    };
    char text[UTC_TEXT_SIZE];
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        time_t t = 77;
        assert_int_equal(utc_format(cases[i].t, text), 0);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(utc_parse(text, &t), 0);
        assert_int_equal(t, cases[i].t);
    }
    assert_int_equal(utc_format(253402300800, text), -EOVERFLOW);
    assert_int_equal(utc_format(-62167219201, text), -EOVERFLOW);
    assert_int_equal(utc_format((time_t)INT64_MAX, text), -EOVERFLOW);
}

static void what_is_no_time(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "2025-12-31T23:59:59",
        "2025-12-31T23:59:59Z ",
        "2025-12-31 23:59:59Z",
        "2025-02-29T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-01-00T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:60:00Z",
        "2025-01-01T00:00:60Z",
        "+025-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        time_t t = 77;
        if (utc_parse(wrong[i], &t) != -EINVAL || t != 77)
            fail_msg("\"%s\" was read", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed),
        cmocka_unit_test(keys_of_each_curve_sign),
        cmocka_unit_test(nothing_of_it_can_be_changed),
        cmocka_unit_test(other_keys_sign_nothing),
        cmocka_unit_test(its_text_is_read_again),
        cmocka_unit_test(every_member_must_be_there_and_have_its_form),
        cmocka_unit_test(times_are_texts_and_back),
        cmocka_unit_test(what_is_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
