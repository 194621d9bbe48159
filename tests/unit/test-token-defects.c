/*
 * A token with one defect in its bytes, each refused with its reason and at the offset, in the
 * file that the user has, of the byte where it is.
 */
#include "unit.h"
#include "token/cbor.h"
#include "token/cca.h"

#include <openssl/ec.h>

static EVP_PKEY *key;
static struct buffer cvm_map, platform_map; /* good claims */

static void good_claims(void)
{
    static uint8_t challenge[64], zero[64], rim[32], id[33] = {1};
    _buffer_ struct buffer point = {0};
    memset(challenge, 0xc7, sizeof(challenge));
    memset(rim, 0x44, sizeof(rim));
    assert_int_equal(public_key_to_point(key, &point, NULL), 0);
    struct cca_cvm cvm = {
        .challenge = BYTES_OF(challenge),
        .personalization = BYTES_OF(zero),
        .initial = BYTES_OF(rim),
        .hash_alg = BYTES_STR("sha-256"),
        .public_key = buffer_bytes(&point),
        .binding_hash_alg = BYTES_STR("sha-512"),
    };
    for (size_t i = 0; i < CCA_REGISTERS; i++)
        cvm.extended[i] = BYTES(zero, 32);
    const struct cca_platform platform = {
        .profile = BYTES_STR("http://arm.com/CCA-SSD/1.0.0"),
        .challenge = BYTES_OF(challenge),
        .implementation_id = BYTES(id, 32),
        .instance_id = BYTES_OF(id),
        .configuration = BYTES_STR("conf"),
        .hash_alg = BYTES_STR("sha-256"),
        .has_lifecycle = true,
        .lifecycle = 0x3003,
        .component_count = 1,
        .components[0] = {.measurement = BYTES_OF(rim), .signer_id = BYTES_OF(rim)},
    };
    assert_int_equal(cca_cvm_encode(&cvm_map, &cvm), 0);
    assert_int_equal(cca_platform_encode(&platform_map, &platform), 0);
}

static int setup(void **state)
{
    (void)state;
    key = EVP_EC_gen("P-521");
    if (!key)
        return -1;
    good_claims();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    buffer_free(&cvm_map);
    buffer_free(&platform_map);
    return 0;
}

/* ---- one change of bytes ---- */

#define B(s) BYTES((s), sizeof(s) - 1)

struct patch {
    struct bytes find; /* its only place; empty: the end */
    size_t cut;        /* bytes from there that go away */
    struct bytes with; /* and what comes instead */
    uint8_t head;      /* the map's first byte becomes this one; 0: as it is */
};

static const uint8_t *place(struct bytes in, struct bytes what)
{
    const uint8_t *at = memmem(in.data, in.size, what.data, what.size);
    assert_non_null(at);
    assert_null(memmem(at + 1, (size_t)(in.data + in.size - at - 1), what.data, what.size));
    return at;
}

static void apply(struct buffer *ret, struct bytes good, const struct patch *p)
{
    size_t at = p->find.size ? (size_t)(place(good, p->find) - good.data) : good.size;
    assert_int_equal(buffer_append(ret, good.data, at), 0);
    assert_int_equal(buffer_append(ret, p->with.data, p->with.size), 0);
    assert_int_equal(buffer_append(ret, good.data + at + p->cut, good.size - at - p->cut), 0);
    if (p->head)
        ret->data[0] = p->head;
}

/* A token of these claims, properly signed. */
static void build(struct buffer *ret, struct bytes cvm_claims, struct bytes platform_claims,
                  bool twice)
{
    _buffer_ struct buffer wrapped = {0}, cvm = {0}, platform = {0};
    struct cbor_writer w = {.out = &wrapped};
    struct error e = {0};
    cbor_put_bytes(&w, cvm_claims);
    assert_int_equal(w.error, 0);
    assert_int_equal(cose_sign1_create(&cvm, key, twice ? buffer_bytes(&wrapped) : cvm_claims, &e),
                     0);
    assert_int_equal(cose_sign1_create(&platform, key, platform_claims, &e), 0);
    assert_int_equal(cca_token_wrap(ret, false, buffer_bytes(&platform), buffer_bytes(&cvm)), 0);
}

static void assert_refused_at(struct bytes token, size_t offset, const char *reason,
                              const char *name)
{
    char expected[256];
    struct error e = {0};
    struct cca_token t = {.has_platform = true};
    int r = cca_token_parse(&t, token, &e);
    snprintf(expected, sizeof(expected), "offset %zu: %s", offset, reason);
    if (r != -EBADMSG || !strstr(e.text, expected))
        fail_msg("%s: expected \"%s\", got %d \"%s\"", name, expected, r, e.text);
    assert_true(t.has_platform); /* written only on success */
}

/* ---- the claims of either part ---- */

#define CHALLENGE B("\x0a\x58\x40\xc7")
#define RIM B("\x19\xac\xce\x58\x20\x44")
#define HASH B("\x19\xac\xcc\x67sha-256")
#define REMS B("\x19\xac\xcf\x84\x58\x20")
#define RAK B("\x19\xac\xcd\x58\x85\x04")
/* one claim more than the good seven */
#define MORE 0xa8

/*
 * The offset is that of `at`, `from` bytes on, which stands in the token just once; without `at`
 * it is the end of the claims.
 */
static const struct claims_defect {
    const char *name;
    struct patch patch;
    struct bytes at;
    size_t from;
    const char *reason;
} cvm_defects[] = {
    {"duplicate claim",
     {{0}, 0, B("\x19\xac\xce\x41\x99"), MORE},
     B("\x19\xac\xce\x41\x99"),
     0,
     "duplicate key in a map"},
    {"duplicate unknown claim",
     {{0}, 0, B("\x29\x01\x29\x02"), 0xa9},
     B("\x29\x01\x29\x02"),
     2,
     "duplicate key in a map"},
    {"trailing byte", {{0}, 0, B("\x00"), 0}, {0}, 0, "1 bytes behind the end"},
    {"indefinite map",
     {{0}, 0, B("\xff"), 0xbf},
     B("\xbf\x0a\x58\x40\xc7"),
     0,
     "indefinite length"},
    {"indefinite bytes",
     {RIM, 6, B("\x19\xac\xce\x5f\x58\x20\x44"), 0},
     B("\x5f\x58\x20\x44"),
     0,
     "indefinite length"},
    {"indefinite text",
     {HASH, 11, B("\x19\xac\xcc\x7f\x67sha-256\xff"), 0},
     B("\x7f\x67sha-256"),
     0,
     "indefinite length"},
    {"indefinite array",
     {{0}, 0, B("\x18\x63\x9f\x01\xff"), MORE},
     B("\x18\x63\x9f\x01\xff"),
     2,
     "indefinite length"},
    {"short challenge",
     {CHALLENGE, 4, B("\x0a\x58\x3f"), 0},
     B("\x0a\x58\x3f"),
     1,
     "challenge has 63 bytes"},
    {"short public key",
     {RAK, 6, B("\x19\xac\xcd\x58\x84"), 0},
     B("\x19\xac\xcd\x58\x84"),
     3,
     "public_key has 132 bytes"},
    {"empty hash name",
     {HASH, 11, B("\x19\xac\xcc\x60"), 0},
     B("\x19\xac\xcc\x60"),
     3,
     "hash_alg has 0 bytes"},
    {"hash name of NULs",
     {HASH, 11, B("\x19\xac\xcc\x62\x00\x00"), 0},
     B("\x19\xac\xcc\x62"),
     3,
     "hash_alg has 0 bytes"},
    {"missing claim", {CHALLENGE, 67, {0}, 0xa6}, {0}, 0, "claim 10 (challenge) is missing"},
    {"missing registers",
     {REMS, 140, {0}, 0xa6},
     {0},
     0,
     "claim 44239 (extended measurements) is missing"},
    {"text where bytes must be",
     {RIM, 6, B("\x19\xac\xce\x78\x20\x44"), 0},
     B("\x19\xac\xce\x78\x20\x44"),
     3,
     "initial is a text string, not a byte string"},
    {"bytes where text must be",
     {HASH, 4, B("\x19\xac\xcc\x47"), 0},
     B("\x19\xac\xcc\x47"),
     3,
     "hash_alg is a byte string, not a text string"},
    {"number where bytes must be",
     {RIM, 37, B("\x19\xac\xce\x07"), 0},
     B("\x19\xac\xce\x07"),
     3,
     "initial is an unsigned number, not a byte string"},
    {"three registers",
     {REMS, 38, B("\x19\xac\xcf\x83"), 0},
     B("\x19\xac\xcf\x83"),
     4,
     "3 extended measurements, not 4"},
    {"a register of text",
     {REMS, 6, B("\x19\xac\xcf\x84\x78\x20"), 0},
     B("\x19\xac\xcf\x84\x78\x20"),
     4,
     "extended measurement is a text string"},
    {"a short register",
     {REMS, 7, B("\x19\xac\xcf\x84\x58\x1f"), 0},
     {0},
     0,
     "extended measurement 0 has 31 bytes, the initial one 32"},
    {"depth",
     {{0}, 0, B("\x18\x63\x81\x81\x81\x81\x81\x81\x81\x81\x01"), MORE},
     B("\x18\x63\x81\x81\x81\x81"),
     9,
     "nested deeper than 8"},
    {"a label of bytes",
     {{0}, 0, B("\x41\x63\x01"), MORE},
     B("\x41\x63\x01"),
     0,
     "claim label is a byte string, not an unsigned number"},
    {"a label beyond 63 bits",
     {{0}, 0, B("\x1b\xff\xff\xff\xff\xff\xff\xff\xfe\x01"), MORE},
     B("\x1b\xff\xff\xff\xff\xff\xff\xff\xfe\x01"),
     9,
     "claim label is out of range"},
    {"a long head",
     {{0}, 0, B("\x19\x00\x63\x01"), MORE},
     B("\x19\x00\x63\x01"),
     0,
     "a number is not in its shortest form"},
    {"floating point",
     {{0}, 0, B("\x18\x63\xf9\x3c\x00"), MORE},
     B("\x18\x63\xf9\x3c\x00"),
     2,
     "floating-point number"},
    {"too few entries", {{0}, 0, {0}, MORE}, {0}, 0, "the data ends within an item"},
    {"too many entries",
     {{0}, 0, B("\x18\x63\x01"), 0},
     B("\x18\x63\x01"),
     0,
     "3 bytes behind the end"},
    {"not a map",
     {{0}, 0, B("\x01"), 0x8f},
     B("\x8f\x0a\x58\x40"),
     0,
     "claims is an array, not a map"},
};

#define IMPLEMENTATION B("\x19\x09\x5c\x58\x20\x01")
#define LIFECYCLE B("\x19\x09\x5b\x19\x30\x03")
#define COMPONENTS B("\x19\x09\x5f\x81\xa2\x02\x58\x20")

static const struct claims_defect platform_defects[] = {
    {"duplicate claim",
     {{0}, 0, B("\x19\x09\x5b\x19\x30\x00"), 0xa9},
     B("\x19\x09\x5b\x19\x30\x00"),
     0,
     "duplicate key in a map"},
    {"trailing byte", {{0}, 0, B("\x00"), 0}, {0}, 0, "1 bytes behind the end"},
    {"wrong size",
     {IMPLEMENTATION, 6, B("\x19\x09\x5c\x58\x1f"), 0},
     B("\x19\x09\x5c\x58\x1f"),
     3,
     "implementation_id has 31 bytes"},
    {"missing claim",
     {LIFECYCLE, 6, {0}, 0xa7},
     {0},
     0,
     "claim 2395 (security lifecycle) is missing"},
    {"a negative lifecycle",
     {LIFECYCLE, 6, B("\x19\x09\x5b\x39\x30\x03"), 0},
     B("\x19\x09\x5b\x39\x30\x03"),
     3,
     "security lifecycle is a negative number"},
    {"no component",
     {COMPONENTS, 75, B("\x19\x09\x5f\x80"), 0},
     B("\x19\x09\x5f\x80"),
     4,
     "0 software components"},
    {"a component of bytes",
     {COMPONENTS, 75, B("\x19\x09\x5f\x81\x41\x01"), 0},
     B("\x19\x09\x5f\x81\x41\x01"),
     4,
     "claims is a byte string, not a map"},
    {"a component without measurement",
     {COMPONENTS, 40, B("\x19\x09\x5f\x81\xa1"), 0},
     {0},
     0,
     "claim 2 (measurement) is missing"},
    {"twice in a component",
     {COMPONENTS, 5, B("\x19\x09\x5f\x81\xa3\x05\x41\x01"), 0},
     B("\x05\x58\x20\x44"),
     0,
     "duplicate key in a map"},
};

/* Where `claims` end within the token that holds them. */
static size_t end_of(struct bytes token, struct bytes claims)
{
    return (size_t)(place(token, claims) - token.data) + claims.size;
}

static void check(const struct claims_defect *d, bool of_platform, bool twice)
{
    _buffer_ struct buffer bad = {0}, token = {0};
    struct bytes cvm = buffer_bytes(&cvm_map), platform = buffer_bytes(&platform_map);
    apply(&bad, of_platform ? platform : cvm, &d->patch);
    build(&token, of_platform ? cvm : buffer_bytes(&bad),
          of_platform ? buffer_bytes(&bad) : platform, twice);
    struct bytes in = buffer_bytes(&token);
    size_t offset = d->at.size ? (size_t)(place(in, d->at) - in.data) + d->from
                               : end_of(in, buffer_bytes(&bad));
    if (strstr(d->reason, "behind the end"))
        offset = end_of(in, buffer_bytes(&bad)) - d->patch.with.size;
    assert_refused_at(in, offset, d->reason, d->name);
}

static void defects_of_the_cvm_claims_are_refused_at_their_offset(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cvm_defects); i++) {
        check(&cvm_defects[i], false, false);
        check(&cvm_defects[i], false, true);
    }
}

static void defects_of_the_platform_claims_are_refused_at_their_offset(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(platform_defects); i++)
        check(&platform_defects[i], true, false);
}

/* ---- what is around them ---- */

static void defects_around_the_claims_are_refused_at_their_offset(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct bytes token;
        size_t offset;
        const char *reason;
    } bad[] = {
        {"tag", B("\xd9\x01\x90\xa1\x19\xac\xd1\x41\x00"), 0, "the token has tag 400, not 399"},
        {"no tag", B("\xa1\x19\xac\xd1\x41\x00"), 0, "the token is a map, not a tag"},
        {"no map", B("\xd9\x01\x8f\x81\x00"), 3, "the token is an array, not a map"},
        {"no part", B("\xd9\x01\x8f\xa0"), 4, "there is no CVM token (44241)"},
        {"unknown part", B("\xd9\x01\x8f\xa1\x19\xac\xe2\x41\x00"), 7, "unknown token part 44258"},
        {"a part twice", B("\xd9\x01\x8f\xa2\x19\xac\xd1\x41\x00\x19\xac\xd1\x41\x00"), 9,
         "duplicate key"},
        {"a part of text", B("\xd9\x01\x8f\xa1\x19\xac\xd1\x61x"), 7, "CVM token is a text string"},
        {"an empty part", B("\xd9\x01\x8f\xa1\x19\xac\xd1\x40"), 8, "no data"},
        {"a part that is no message", B("\xd9\x01\x8f\xa1\x19\xac\xd1\x41\x00"), 8,
         "COSE_Sign1 is an unsigned number, not a tag"},
        {"a byte behind the message", B("\xd9\x01\x8f\xa1\x19\xac\xd1\x43\xd2\x80\x00"), 10,
         "1 bytes behind the end"},
        {"record under tag 399", B("\xd9\x01\x8f\xa1\x19\xac\xd1\x82\x19\x01\x07\x41\x00"), 7,
         "CVM token is an array, not a byte string"},
        {"bytes under tag 907", B("\xd9\x03\x8b\xa1\x19\xac\xd1\x41\x00"), 7,
         "CVM token is a byte string, not an array"},
        {"record of one", B("\xd9\x03\x8b\xa1\x19\xac\xd1\x81\x19\x01\x07"), 8,
         "CVM token is not a CMW record"},
        {"record of three", B("\xd9\x03\x8b\xa1\x19\xac\xd1\x83\x19\x01\x07\x41\x00\x01"), 8,
         "CVM token is not a CMW record"},
        {"another content format", B("\xd9\x03\x8b\xa1\x19\xac\xd1\x82\x19\x01\x0b\x41\x00"), 7,
         "the content format of CVM token is not 263"},
        {"content format by name", B("\xd9\x03\x8b\xa1\x19\xac\xd1\x82\x61x\x41\x00"), 8,
         "content format is a text string"},
        {"cut", B("\xd9\x01\x8f\xa1\x19\xac\xd1\x42\x00"), 7, "the data ends"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_refused_at(bad[i].token, bad[i].offset, bad[i].reason, bad[i].name);

    _buffer_ struct buffer token = {0};
    build(&token, buffer_bytes(&cvm_map), buffer_bytes(&platform_map), true);
    size_t size = token.size;
    assert_int_equal(buffer_append(&token, "\0", 1), 0);
    assert_refused_at(buffer_bytes(&token), size, "1 bytes behind the end", "trailing byte");
}

/* Negative and text labels are other claims than those with a name, and are kept. */
static void unknown_claims_are_kept_up_to_a_bound(void **state)
{
    (void)state;
    static const struct patch negative = {{0}, 0, B("\x29\x41\x07\x63xyz\x81\xf6"), 0xa9};
    struct error e = {0};
    struct cca_token t;
    _buffer_ struct buffer claims = {0}, token = {0}, many = {0}, full = {0};
    apply(&claims, buffer_bytes(&cvm_map), &negative);
    build(&token, buffer_bytes(&claims), buffer_bytes(&platform_map), true);
    if (cca_token_parse(&t, buffer_bytes(&token), &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(t.cvm.challenge.data[0], 0xc7);
    assert_int_equal(t.cvm.unknown.count, 2);
    assert_int_equal(t.cvm.unknown.list[0].label, -10);
    assert_true(bytes_equal(t.cvm.unknown.list[0].value, B("\x41\x07")));
    assert_true(bytes_equal(t.cvm.unknown.list[1].text_label, BYTES_STR("xyz")));
    assert_true(bytes_equal(t.cvm.unknown.list[1].value, B("\x81\xf6")));

    struct bytes good = buffer_bytes(&cvm_map);
    assert_int_equal(buffer_append(&many, "\xb8\x18", 2), 0); /* 7 + 17 */
    assert_int_equal(buffer_append(&many, good.data + 1, good.size - 1), 0);
    for (uint8_t i = 0; i <= CCA_UNKNOWN_MAX; i++)
        assert_int_equal(buffer_append(&many, (uint8_t[]){0x18, (uint8_t)(0x80 + i), i}, 3), 0);
    build(&full, buffer_bytes(&many), buffer_bytes(&platform_map), false);
    struct bytes in = buffer_bytes(&full);
    assert_refused_at(in, end_of(in, buffer_bytes(&many)) - 1, "more than 16 unknown claims", "17");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defects_of_the_cvm_claims_are_refused_at_their_offset),
        cmocka_unit_test(defects_of_the_platform_claims_are_refused_at_their_offset),
        cmocka_unit_test(defects_around_the_claims_are_refused_at_their_offset),
        cmocka_unit_test(unknown_claims_are_kept_up_to_a_bound),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
