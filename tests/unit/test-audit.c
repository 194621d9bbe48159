/* The chain of the audit: what it holds, in which form, and that no change goes unseen (K2). */
#include "unit.h"
#include "audit_chain.h"
#include "base/hex.h"
#include "crypto/digest.h"

#define LENGTH 4

struct chain {
    struct findings good, bad;
    struct buffer text[LENGTH]; /* granted, denied, granted, denied without evidence */
    struct audit_state state[LENGTH + 1];
};

static void make(const struct audit_state *last, const struct findings *f, bool granted,
                 bool readable, struct buffer *ret, struct audit_state *next)
{
    struct error err = {0};
    if (make_audit_record(last, f, granted, readable, ret, next, &err) < 0)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    struct chain *c = calloc(1, sizeof(*c));
    finding_add(&c->good, "token.signature", VERDICT_PASS, "a", "a");
    finding_waive(&c->good, "waived.separator", WAIVER_SEPARATOR, "record 1");
    finding_add(&c->bad, "token.signature", VERDICT_PASS, "a", "a");
    finding_add(&c->bad, "boot.kernel", VERDICT_REJECT, "one", "another");
    finding_remedy(&c->bad, "measure it");
    finding_add(&c->bad, "boot.initrd", VERDICT_REJECT, NULL, "none");
    for (size_t i = 0; i < LENGTH; i++)
        make(&c->state[i], i % 2 ? &c->bad : &c->good, i % 2 == 0, i < 3, &c->text[i],
             &c->state[i + 1]);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct chain *c = *state;
    for (size_t i = 0; i < LENGTH; i++)
        buffer_free(&c->text[i]);
    findings_free(&c->good);
    findings_free(&c->bad);
    free(c);
    return 0;
}

/* Read it, and see whether it follows. */
static int follows(const struct audit_state *last, struct bytes text, struct error *err)
{
    _audit_record_ struct audit_record r = {0};
    int n = audit_parse(&r, text, "record", err);
    return n < 0 ? n : audit_verify(last, &r, "record", err);
}

static json_t *json_of(const struct buffer *text)
{
    json_t *j = NULL;
    assert_int_equal(json_parse(&j, buffer_bytes(text), "record", NULL), 0);
    return j;
}

/* ---- what it says ---- */
static void a_chain_verifies(void **state)
{
    struct chain *c = *state;
    static const uint8_t zeros[AUDIT_HASH_SIZE];
    for (size_t i = 0; i < LENGTH; i++) {
        _audit_record_ struct audit_record r = {0};
        struct error err = {0};
        assert_int_equal(audit_parse(&r, buffer_bytes(&c->text[i]), "record", &err), 0);
        assert_int_equal(audit_verify(&c->state[i], &r, "record", &err), 0);
        assert_int_equal(r.sequence, i + 1);
        assert_int_equal(r.verdict, i % 2 == 0 ? AUDIT_GRANTED : AUDIT_DENIED);
        assert_memory_equal(r.previous, i ? c->state[i].hash : zeros, AUDIT_HASH_SIZE);
        assert_string_equal(r.time, "2025-12-31T23:59:59Z");
        assert_string_equal(r.broker, "unlock");
        assert_string_equal(r.peer, "192.0.2.1:7220");
        struct audit_state after = audit_state_after(&r);
        assert_memory_equal(after.hash, c->state[i + 1].hash, AUDIT_HASH_SIZE);
        assert_int_equal(after.sequence, i + 1);
        if (r.verdict == AUDIT_GRANTED)
            assert_null(r.reason);
        else
            assert_string_equal(r.reason, "boot.kernel");
        if (i < 3)
            assert_string_equal(r.volume, "abababab-abab-abab-abab-abababababab");
        else
            assert_null(r.volume);
    }
}

/* The definition, without the code: the text, its member "hash" cut out. */
static void the_hash_is_over_the_domain_and_the_rest(void **state)
{
    struct chain *c = *state;
    static const char domain[] = "encroot audit v1";
    char hash[DIGEST_HEX_SIZE];
    struct digest d;
    _free_ char *text = strndup((char *)c->text[1].data, c->text[1].size);
    char *member = strstr(text, "\"hash\":\"");
    size_t length = strlen("\"hash\":\"\",") + 64;
    assert_non_null(member);
    _buffer_ struct buffer hashed = {0};
    assert_int_equal(buffer_append(&hashed, domain, sizeof(domain)), 0);
    assert_int_equal(buffer_append(&hashed, text, (size_t)(member - text)), 0);
    assert_int_equal(buffer_append(&hashed, member + length, strlen(member + length)), 0);
    assert_int_equal(digest_compute(&d, HASH_SHA256, buffer_bytes(&hashed)), 0);
    digest_hex(&d, hash);
    assert_memory_equal(member + strlen("\"hash\":\""), hash, 64);
}

static void rejections_are_whole_and_other_checks_are_names(void **state)
{
    struct chain *c = *state;
    static const char granted[] =
        "\"findings\":[{\"check\":\"token.signature\",\"verdict\":\"pass\"},"
        "{\"check\":\"waived.separator\",\"verdict\":\"waived\"}]";
    static const char denied[] =
        "\"findings\":[{\"check\":\"token.signature\",\"verdict\":\"pass\"},"
        "{\"check\":\"boot.kernel\",\"expected\":\"one\",\"found\":\"another\","
        "\"remedy\":\"measure it\",\"verdict\":\"reject\"},"
        "{\"check\":\"boot.initrd\",\"found\":\"none\",\"verdict\":\"reject\"}]";
    assert_non_null(memmem(c->text[0].data, c->text[0].size, granted, strlen(granted)));
    assert_non_null(memmem(c->text[1].data, c->text[1].size, denied, strlen(denied)));
    assert_null(memchr(c->text[1].data, '\n', c->text[1].size));
}

static void what_came_is_known_by_its_hash(void **state)
{
    struct chain *c = *state;
    struct digest d;
    char hash[DIGEST_HEX_SIZE];
    static const char *const members[] = {"request", "evidence"};
    _json_ json_t *readable = json_of(&c->text[2]), *unreadable = json_of(&c->text[3]);
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        char key[32];
        snprintf(key, sizeof(key), "%s_sha256", members[i]);
        assert_int_equal(digest_compute(&d, HASH_SHA256, BYTES_STR(members[i])), 0);
        digest_hex(&d, hash);
        assert_string_equal(json_string_value(json_object_get(readable, key)), hash);
    }
    assert_true(json_is_null(json_object_get(unreadable, "evidence_sha256")));
    assert_true(json_is_null(json_object_get(unreadable, "platform")));
    assert_true(json_is_string(json_object_get(unreadable, "request_sha256")));
}

static void a_grant_that_its_findings_contradict_is_not_recorded(void **state)
{
    struct chain *c = *state;
    const struct findings none = {0};
    const struct findings *contradictions[] = {&c->bad, &none};
    for (size_t i = 0; i < ARRAY_SIZE(contradictions); i++) {
        _buffer_ struct buffer text = {0};
        struct audit_state next = {.sequence = 77};
        struct error err = {0};
        assert_int_equal(
            make_audit_record(&c->state[0], contradictions[i], true, true, &text, &next, &err),
            -EINVAL);
        assert_int_equal(next.sequence, 77);
        assert_int_equal(text.size, 0);
    }
}

/* An appraisal that an error ended denies, though none of its findings does. */
static void a_denial_always_has_a_reason(void **state)
{
    struct chain *c = *state;
    _buffer_ struct buffer text = {0};
    struct audit_state next;
    struct error err = {0};
    _audit_record_ struct audit_record r = {0};
    make(&c->state[0], &c->good, false, true, &text, &next);
    assert_int_equal(audit_parse(&r, buffer_bytes(&text), "record", &err), 0);
    assert_string_equal(r.reason, "appraisal");
}

/* ---- text that a guest chose ---- */
static void a_flood_of_findings_has_a_bound(void **state)
{
    struct chain *c = *state;
    char huge[9000];
    _findings_ struct findings f = {0};
    memset(huge, 0x1b, sizeof(huge) - 1); /* each becomes \u001b */
    huge[sizeof(huge) - 1] = '\0';
    for (int i = 0; i < 5000; i++)
        finding_add(&f, "waived.nothing", VERDICT_WAIVED, huge, huge);
    for (int i = 0; i < 300; i++) {
        finding_add(&f, i ? "later" : "first", VERDICT_REJECT, huge, huge);
        finding_remedy(&f, "%s", huge);
    }
    _buffer_ struct buffer text = {0};
    struct audit_state next;
    make(&c->state[0], &f, false, true, &text, &next);
    assert_true(text.size > 100000 && text.size <= AUDIT_RECORD_MAX);
    struct error err = {0};
    _audit_record_ struct audit_record r = {0};
    assert_int_equal(audit_parse(&r, buffer_bytes(&text), "record", &err), 0);
    assert_string_equal(r.reason, "first");
    size_t kept = json_array_size(json_object_get(r.json, "findings"));
    assert_int_equal(kept + (size_t)json_integer_value(json_object_get(r.json, "omitted")), 5300);
}

static void any_text_can_be_recorded(void **state)
{
    struct chain *c = *state;
    /* What broker/audit.c looks for in its own text. */
    static const char no_hash[] =
        "\"hash\":\"0000000000000000000000000000000000000000000000000000000000000000\",";
    char cut[AUDIT_TEXT_MAX + 8];
    memset(cut, 'x', AUDIT_TEXT_MAX - 1);
    snprintf(cut + AUDIT_TEXT_MAX - 1, 9, "\xc3\xa4\xc3\xa4"); /* the bound is within a letter */
    const struct {
        const char *text, *recorded;
        size_t size;
    } cases[] = {
        {"\x1b[2J\n\"\\", "\x1b[2J\n\"\\", 7},
        {"\xff\xc3", "\\xff\\xc3", 8},
        {"\xc3\xa4", "\xc3\xa4", 2},
        {no_hash, no_hash, sizeof(no_hash) - 1},
        {cut, cut, AUDIT_TEXT_MAX - 1 + strlen("...")},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _findings_ struct findings f = {0};
        _buffer_ struct buffer text = {0};
        struct audit_state next;
        struct error err = {0};
        finding_add(&f, "check", VERDICT_REJECT, NULL, cases[i].text);
        make(&c->state[0], &f, false, true, &text, &next);
        assert_int_equal(follows(&c->state[0], buffer_bytes(&text), &err), 0);
        _json_ json_t *j = json_of(&text);
        const json_t *found =
            json_object_get(json_array_get(json_object_get(j, "findings"), 0), "found");
        assert_int_equal(json_string_length(found), cases[i].size);
        assert_memory_equal(json_string_value(found), cases[i].recorded,
                            i == 4 ? AUDIT_TEXT_MAX - 1 : cases[i].size);
    }
}

/* ---- K2 ---- */
static void no_byte_can_be_changed(void **state)
{
    struct chain *c = *state;
    for (size_t n = 0; n < LENGTH; n++)
        for (size_t i = 0; i < c->text[n].size; i++)
            for (int bit = 0; bit < 8; bit++) {
                struct error err = {0};
                c->text[n].data[i] ^= (uint8_t)(1 << bit);
                if (follows(&c->state[n], buffer_bytes(&c->text[n]), &err) == 0)
                    fail_msg("record %zu, byte %zu, bit %d: not seen", n + 1, i, bit);
                assert_true(err.text[0]);
                c->text[n].data[i] ^= (uint8_t)(1 << bit);
            }
}

static void no_record_fits_elsewhere(void **state)
{
    struct chain *c = *state;
    for (size_t at = 0; at < LENGTH; at++)
        for (size_t n = 0; n < LENGTH; n++) {
            struct error err = {0};
            assert_int_equal(follows(&c->state[at], buffer_bytes(&c->text[n]), &err),
                             n == at ? 0 : -EUCLEAN);
            if (n != at)
                assert_non_null(strstr(err.text, "removed, put in, or moved"));
        }
}

/* The right number, but made for another chain. */
static void a_record_of_another_chain_does_not_follow(void **state)
{
    struct chain *c = *state;
    struct audit_state other = c->state[2], next;
    _buffer_ struct buffer text = {0};
    struct error err = {0};
    other.hash[31] ^= 1;
    make(&other, &c->good, true, true, &text, &next);
    assert_int_equal(follows(&c->state[2], buffer_bytes(&text), &err), -EUCLEAN);
    assert_non_null(strstr(err.text, "does not follow"));
    assert_int_equal(follows(&other, buffer_bytes(&text), &err), 0);
}

static void a_changed_record_is_named(void **state)
{
    struct chain *c = *state;
    struct error err = {0};
    char *peer = memmem(c->text[1].data, c->text[1].size, "192.0.2.1", 9);
    assert_non_null(peer);
    peer[8] = '9';
    assert_int_equal(follows(&c->state[1], buffer_bytes(&c->text[1]), &err), -EUCLEAN);
    assert_non_null(strstr(err.text, "record: record 2 was changed"));
}

/* ---- the parser ---- */
static void assert_unreadable(struct bytes text, const char *says)
{
    struct error err = {0};
    struct audit_record r = {.sequence = 77};
    assert_int_equal(audit_parse(&r, text, "record", &err), -EINVAL);
    assert_int_equal(r.sequence, 77);
    if (!strstr(err.text, says))
        fail_msg("expected \"%s\" in \"%s\"", says, err.text);
}

static void assert_member_unreadable(const struct buffer *good, const char *key, json_t *value)
{
    _json_ json_t *j = json_of(good);
    _buffer_ struct buffer text = {0};
    char quoted[64];
    if (value)
        assert_int_equal(json_object_set_new(j, key, value), 0);
    else
        assert_int_equal(json_object_del(j, key), 0);
    assert_int_equal(audit_format(j, &text, NULL), 0);
    snprintf(quoted, sizeof(quoted), "\"%s\"", key);
    assert_unreadable(buffer_bytes(&text), quoted);
}

static void every_member_must_be_there_and_have_its_form(void **state)
{
    struct chain *c = *state;
    static const struct {
        const char *key, *wrong;
    } texts[] = {
        {"time", "2025-12-31 23:59:59Z"},
        {"time", "2025-12-31T23:59:59Z "},
        {"id", "0123456789abcdef0123456789abcde"},
        {"id", "0123456789ABCDEF0123456789ABCDEF"},
        {"broker", ""},
        {"peer", ""},
        {"verdict", "maybe"},
        {"request_sha256", "00"},
        {"evidence_sha256", "00"},
        {"previous", "00"},
        {"hash", "00"},
        {"volume", "abababab-abab-abab-abab-ABABABABABAB"},
        {"platform", ""},
    };
    _json_ json_t *j = json_of(&c->text[0]);
    const char *key;
    json_t *value;
    json_object_foreach(j, key, value)
    {
        assert_member_unreadable(&c->text[0], key, NULL);
        assert_member_unreadable(&c->text[0], key, json_true());
    }
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_member_unreadable(&c->text[0], texts[i].key, json_string(texts[i].wrong));
    assert_member_unreadable(&c->text[0], "sequence", json_integer(-1));
    assert_member_unreadable(&c->text[0], "surprise", json_integer(1));
    assert_member_unreadable(&c->text[3], "platform", json_string("virtcca"));
}

static void findings_must_be_findings(void **state)
{
    struct chain *c = *state;
    static const struct {
        const char *findings, *says;
    } cases[] = {
        {"[1]", "must be an object"},
        {"[{}]", "\"check\" is missing"},
        {"[{\"check\":\"a\"}]", "\"verdict\" is missing"},
        {"[{\"check\":\"a\",\"verdict\":\"fine\"}]", "unknown verdict"},
        {"[{\"check\":\"a\",\"found\":\"b\",\"verdict\":\"pass\"}]", "unknown member \"found\""},
        {"[{\"check\":\"a\",\"found\":1,\"verdict\":\"reject\"}]", "\"found\" must be a string"},
        {"[{\"check\":\"a\",\"verdict\":\"reject\"}]", "contradict"},
        {"[]", "contradict"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _json_ json_t *j = json_of(&c->text[0]);
        _buffer_ struct buffer text = {0};
        assert_int_equal(json_object_set_new(j, "findings", json_loads(cases[i].findings, 0, NULL)),
                         0);
        assert_int_equal(audit_format(j, &text, NULL), 0);
        assert_unreadable(buffer_bytes(&text), cases[i].says);
    }
    _json_ json_t *denied = json_of(&c->text[1]);
    _buffer_ struct buffer text = {0};
    json_object_set_new(denied, "verdict", json_string("granted"));
    assert_int_equal(audit_format(denied, &text, NULL), 0);
    assert_unreadable(buffer_bytes(&text), "contradict");
}

/* ---- changes ---- */
static const struct audit_change a_change = {.id = "0123456789abcdef0123456789abcdef",
                                             .action = "volume.set",
                                             .user = "alice (uid 1000)",
                                             .volume = (const uint8_t *)"0123456789abcdef",
                                             .detail = "{\"enabled\":false}",
                                             .broker = "broker-1",
                                             .time = TEST_AUDIT_TIME};

static void make_change(const struct audit_state *last, const struct audit_change *of,
                        struct buffer *ret, struct audit_state *next)
{
    struct error err = {0};
    if (audit_make_change(last, of, ret, next, &err) < 0)
        fail_msg("%s", err.text);
}

static void a_change_continues_the_chain(void **state)
{
    struct chain *c = *state;
    _buffer_ struct buffer text = {0};
    _buffer_ struct buffer behind = {0};
    _audit_record_ struct audit_record r = {0};
    _findings_ struct findings f = {0};
    struct audit_state next, last;
    struct error err = {0};
    make_change(&c->state[LENGTH], &a_change, &text, &next);
    assert_int_equal(audit_parse(&r, buffer_bytes(&text), "record", &err), 0);
    assert_int_equal(audit_verify(&c->state[LENGTH], &r, "record", &err), 0);
    assert_int_equal(audit_verify(&c->state[0], &r, "record", &err), -EUCLEAN);
    assert_int_equal(r.verdict, AUDIT_CHANGED);
    assert_int_equal(r.sequence, LENGTH + 1);
    assert_string_equal(r.action, "volume.set");
    assert_string_equal(r.user, "alice (uid 1000)");
    assert_string_equal(r.detail, "{\"enabled\":false}");
    assert_string_equal(r.broker, "broker-1");
    assert_string_equal(r.volume, "30313233-3435-3637-3839-616263646566");
    assert_null(r.peer);
    assert_null(r.reason);
    finding_add(&f, "x", VERDICT_PASS, NULL, NULL);
    make(&next, &f, true, true, &behind, &last);
    assert_int_equal(last.sequence, LENGTH + 2);
}

static void what_a_change_need_not_say(void **state)
{
    (void)state;
    const struct audit_state none = {0};
    _buffer_ struct buffer text = {0};
    _audit_record_ struct audit_record r = {0};
    struct audit_state next;
    struct audit_change bare = a_change;
    bare.volume = NULL;
    bare.detail = NULL;
    make_change(&none, &bare, &text, &next);
    assert_int_equal(audit_parse(&r, buffer_bytes(&text), "record", NULL), 0);
    assert_null(r.volume);
    assert_null(r.detail);
}

/* A hostile text neither ends its member nor makes the record too long. */
static void texts_of_a_change_are_texts(void **state)
{
    (void)state;
    const struct audit_state none = {0};
    _buffer_ struct buffer text = {0};
    _audit_record_ struct audit_record r = {0};
    struct audit_state next;
    struct audit_change odd = a_change;
    _free_ char *longest = malloc(AUDIT_RECORD_MAX);
    memset(longest, '"', AUDIT_RECORD_MAX - 1);
    longest[AUDIT_RECORD_MAX - 1] = '\0';
    odd.user = "\",\"hash\":\"0000000000000000000000000000000000000000000000000000000000000000\",";
    odd.detail = longest;
    make_change(&none, &odd, &text, &next);
    assert_int_equal(audit_parse(&r, buffer_bytes(&text), "record", NULL), 0);
    assert_int_equal(audit_verify(&none, &r, "record", NULL), 0);
    assert_string_equal(r.user, odd.user);
}

static void members_of_changes_must_be_right(void **state)
{
    (void)state;
    const struct audit_state none = {0};
    _buffer_ struct buffer text = {0};
    struct audit_state next;
    make_change(&none, &a_change, &text, &next);
    _json_ json_t *j = json_of(&text);
    const char *key;
    json_t *value;
    json_object_foreach(j, key, value)
    {
        assert_member_unreadable(&text, key, NULL);
        assert_member_unreadable(&text, key, json_true());
    }
    static const char *const wrong[][2] = {
        {"action", ""}, {"action", "Volume"}, {"user", ""},
        {"detail", ""}, {"volume", ""},       {"peer", "192.0.2.1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_member_unreadable(&text, wrong[i][0], json_string(wrong[i][1]));
    assert_member_unreadable(&text, "findings", json_array());
    _json_ json_t *posing = json_of(&text);
    _buffer_ struct buffer decision = {0};
    json_object_set_new(posing, "verdict", json_string("granted"));
    assert_int_equal(audit_format(posing, &decision, NULL), 0);
    assert_unreadable(buffer_bytes(&decision), "unknown member \"action\"");
}

/* The same content in other words: its hash would be right. */
static void there_is_one_form_only(void **state)
{
    struct chain *c = *state;
    _json_ json_t *j = json_of(&c->text[0]);
    static const size_t flags[] = {JSON_SORT_KEYS, JSON_SORT_KEYS | JSON_INDENT(1),
                                   JSON_SORT_KEYS | JSON_COMPACT | JSON_ESCAPE_SLASH};
    json_object_set_new(j, "peer", json_string("a/b"));
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        _free_ char *other = json_dumps(j, flags[i]);
        assert_unreadable(BYTES_STR(other), "not in the form");
    }
    _buffer_ struct buffer grown = {0};
    assert_int_equal(buffer_printf(&grown, "%.*s ", (int)c->text[0].size, c->text[0].data), 0);
    assert_unreadable(buffer_bytes(&grown), "not in the form");
}

static void what_is_no_record(void **state)
{
    (void)state;
    _free_ uint8_t *huge = calloc(1, AUDIT_RECORD_MAX + 1);
    assert_unreadable(BYTES(huge, AUDIT_RECORD_MAX + 1), "longer than");
    assert_unreadable(BYTES_STR(""), "line 1");
    assert_unreadable(BYTES_STR("[]"), "must be an object");
    assert_unreadable(BYTES_STR("{\"a\":1,\"a\":1}"), "duplicate");
    assert_unreadable(BYTES("\0\0\0\0", 4), "line 1");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_chain_verifies),
        CASE(a_change_continues_the_chain),
        CASE(what_a_change_need_not_say),
        CASE(texts_of_a_change_are_texts),
        CASE(members_of_changes_must_be_right),
        CASE(the_hash_is_over_the_domain_and_the_rest),
        CASE(rejections_are_whole_and_other_checks_are_names),
        CASE(what_came_is_known_by_its_hash),
        CASE(a_grant_that_its_findings_contradict_is_not_recorded),
        CASE(a_denial_always_has_a_reason),
        CASE(a_flood_of_findings_has_a_bound),
        CASE(any_text_can_be_recorded),
        CASE(no_byte_can_be_changed),
        CASE(no_record_fits_elsewhere),
        CASE(a_record_of_another_chain_does_not_follow),
        CASE(a_changed_record_is_named),
        CASE(every_member_must_be_there_and_have_its_form),
        CASE(findings_must_be_findings),
        CASE(there_is_one_form_only),
        CASE(what_is_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
