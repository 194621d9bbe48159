/* Findings and decisions as bytes, and what a subverted appraiser could send instead. */
#include "unit.h"
#include "daemon/messages.h"

static void make(struct findings *f, bool passing)
{
    finding_add(f, "token.signature", VERDICT_PASS, "a signature", NULL);
    finding_waive(f, "record.3", WAIVER_SECURE_BOOT, "%s", "db");
    if (passing)
        return;
    finding_add(f, "boot.kernel", VERDICT_REJECT, "one", "another \xff");
    finding_remedy(f, "measure it anew");
}

/* Texts travel with what rejects. */
static bool same_text(const struct finding *of, const char *a, const char *b)
{
    if (of->verdict != VERDICT_REJECT)
        return !b;
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void assert_same(const struct findings *a, const struct findings *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->rejected, b->rejected);
    assert_int_equal(a->incomplete, b->incomplete);
    for (size_t i = 0; i < a->count; i++) {
        const struct finding *x = &a->list[i], *y = &b->list[i];
        assert_string_equal(x->check, y->check);
        assert_int_equal(x->verdict, y->verdict);
        assert_int_equal(x->waiver, y->waiver);
        assert_true(same_text(x, x->expected, y->expected));
        assert_true(same_text(x, x->found, y->found));
        assert_true(same_text(x, x->remedy, y->remedy));
    }
}

static void put(const struct findings *f, struct buffer *ret)
{
    assert_int_equal(messages_put_findings(f, ret, NULL), 0);
}

/* ---- findings ---- */
static void findings_come_back_as_they_were(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        _findings_ struct findings f = {0}, g = {0};
        _buffer_ struct buffer bytes = {0}, names = {0};
        if (kind > 0)
            make(&f, kind == 1);
        f.incomplete = kind == 3;
        put(&f, &bytes);
        assert_int_equal(messages_get_findings(buffer_bytes(&bytes), &g, &names, NULL), 0);
        assert_same(&f, &g);
    }
}

/* No log is so long that the other side takes it for nonsense. */
static void as_many_as_there_can_be(void **state)
{
    (void)state;
    _findings_ struct findings f = {0}, g = {0};
    _buffer_ struct buffer bytes = {0}, names = {0};
    for (int i = 0; i < 40000; i++)
        finding_add(&f, "a", VERDICT_PASS, NULL, NULL);
    assert_true(f.incomplete);
    put(&f, &bytes);
    assert_int_equal(messages_get_findings(buffer_bytes(&bytes), &g, &names, NULL), 0);
    assert_same(&f, &g);
}

static void every_cut_and_every_byte_more_is_refused(void **state)
{
    (void)state;
    _findings_ struct findings f = {0};
    _buffer_ struct buffer bytes = {0};
    make(&f, false);
    put(&f, &bytes);
    assert_int_equal(buffer_append(&bytes, "", 1), 0);
    for (size_t n = 0; n <= bytes.size; n++) {
        _findings_ struct findings g = {0};
        _buffer_ struct buffer names = {0};
        struct error e = {0};
        int expected = n == bytes.size - 1 ? 0 : -EPROTO;
        assert_int_equal(messages_get_findings(BYTES(bytes.data, n), &g, &names, &e), expected);
        assert_int_equal(g.count, expected ? 0 : 3);
    }
}

/* Offsets in the bytes of one finding "a" without texts: count 0..3, incomplete 4, verdict 5,
 * waiver 6, the name's size 7..10, the name 11, then three times "no text". */
static void bytes_out_of_their_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {
        {0, 2},  {0, 0},    {4, 2},    {5, 3},     {5, 0xff}, {6, 1},     {7, 0},  {7, 0xff},
        {11, 0}, {11, 'A'}, {11, ' '}, {11, 0xff}, {12, 0},   {15, 0x7f}, {20, 0},
    };
    _findings_ struct findings f = {0};
    _buffer_ struct buffer bytes = {0};
    finding_add(&f, "a", VERDICT_PASS, NULL, NULL);
    put(&f, &bytes);
    assert_int_equal(bytes.size, 24);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _findings_ struct findings g = {0};
        _buffer_ struct buffer names = {0};
        uint8_t bad[24];
        memcpy(bad, bytes.data, sizeof(bad));
        bad[cases[i].at] = cases[i].value;
        assert_int_equal(messages_get_findings(BYTES_OF(bad), &g, &names, NULL), -EPROTO);
    }
}

static void a_text_with_a_nul_is_refused(void **state)
{
    (void)state;
    _findings_ struct findings f = {0}, g = {0};
    _buffer_ struct buffer bytes = {0}, names = {0};
    finding_add(&f, "a", VERDICT_REJECT, "text", NULL);
    put(&f, &bytes);
    uint8_t *text = memmem(bytes.data, bytes.size, "text", 4);
    text[1] = 0;
    assert_int_equal(messages_get_findings(buffer_bytes(&bytes), &g, &names, NULL), -EPROTO);
}

static void a_text_of_what_does_not_reject_is_refused(void **state)
{
    (void)state;
    _findings_ struct findings f = {0}, g = {0};
    _buffer_ struct buffer bytes = {0}, names = {0};
    finding_add(&f, "a", VERDICT_REJECT, "text", NULL);
    put(&f, &bytes);
    assert_int_equal(bytes.data[5], VERDICT_REJECT);
    bytes.data[5] = VERDICT_PASS;
    assert_int_equal(messages_get_findings(buffer_bytes(&bytes), &g, &names, NULL), -EPROTO);
}

static void an_unknown_waiver_is_refused(void **state)
{
    (void)state;
    _findings_ struct findings f = {0}, g = {0};
    _buffer_ struct buffer bytes = {0}, names = {0};
    finding_waive(&f, "a", WAIVER_COUNT - 1, "%s", "x");
    put(&f, &bytes);
    assert_int_equal(bytes.data[5], VERDICT_WAIVED);
    bytes.data[6] = WAIVER_COUNT;
    assert_int_equal(messages_get_findings(buffer_bytes(&bytes), &g, &names, NULL), -EPROTO);
}

/* However many harmless ones an event log makes, the reason is not lost. */
static void rejections_have_room_before_all_others(void **state)
{
    (void)state;
    _findings_ struct findings f = {0}, g = {0};
    _buffer_ struct buffer bytes = {0}, names = {0};
    char text[4001];
    memset(text, 'x', sizeof(text) - 1);
    text[4000] = '\0';
    for (int i = 0; i < 3000; i++)
        finding_add(&f, "record", VERDICT_PASS, NULL, text);
    for (int i = 0; i < 2000; i++)
        finding_add(&f, "boot.kernel", VERDICT_REJECT, NULL, text);
    put(&f, &bytes);
    assert_true(bytes.size <= MESSAGE_FINDINGS_MAX);
    assert_true(bytes.size > MESSAGE_FINDINGS_MAX - 5000);
    assert_int_equal(messages_get_findings(buffer_bytes(&bytes), &g, &names, NULL), 0);
    assert_true(g.rejected > 900 && g.rejected < 2000);
    assert_true(g.count < g.rejected + 300);
    assert_string_equal(g.list[g.count - 1].check, "boot.kernel");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    _findings_ struct findings f = {0}, g = {0};
    _buffer_ struct buffer bytes = {0}, names = {0};
    _free_ char *text = malloc(MESSAGE_FINDINGS_MAX + 1);
    memset(text, 'x', MESSAGE_FINDINGS_MAX);
    text[MESSAGE_FINDINGS_MAX] = '\0';
    finding_add(&f, "a", VERDICT_REJECT, text, NULL);
    put(&f, &bytes);
    assert_int_equal(messages_get_findings(buffer_bytes(&bytes), &g, &names, NULL), 0);
    assert_int_equal(strlen(g.list[0].expected), MESSAGE_TEXT_MAX);
}

/* ---- decisions ---- */
static void make_decision(struct message_decision *d, bool readable, bool passing,
                          struct buffer *findings)
{
    _findings_ struct findings f = {0};
    make(&f, passing);
    put(&f, findings);
    *d = (struct message_decision){.passed = passing};
    d->findings_size = (uint32_t)findings->size;
    memset(d->request_sha256, 1, 32);
    if (!readable)
        return;
    d->readable = 1;
    d->edition = 5;
    memset(d->volume, 2, 16);
    memcpy(d->platform, "virtcca", 8);
    d->evidence_size = 8;
}

static int get(const struct message_decision *d, const struct buffer *findings,
               const char *evidence)
{
    _buffer_ struct buffer body = {0}, names = {0};
    _findings_ struct findings f = {0};
    struct message_decision got = {0};
    struct bytes e = BYTES_NONE;
    assert_int_equal(buffer_append(&body, d, sizeof(*d)), 0);
    assert_int_equal(buffer_append(&body, findings->data, findings->size), 0);
    assert_int_equal(buffer_append(&body, evidence, strlen(evidence)), 0);
    int r = messages_get_decision(buffer_bytes(&body), &got, &f, &names, &e, NULL);
    if (r == 0) {
        assert_memory_equal(&got, d, sizeof(got));
        assert_true(bytes_equal(e, BYTES_STR(evidence)));
    } else {
        assert_int_equal(r, -EPROTO);
        assert_int_equal(f.count, 0);
    }
    return r;
}

static void decisions_come_back_as_they_were(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        _buffer_ struct buffer findings = {0};
        struct message_decision d;
        make_decision(&d, kind > 0, kind > 1, &findings);
        assert_int_equal(get(&d, &findings, kind ? "evidence" : ""), 0);
    }
}

static void a_verdict_that_its_findings_contradict_is_refused(void **state)
{
    (void)state;
    _buffer_ struct buffer bad = {0}, good = {0};
    struct message_decision d;
    make_decision(&d, true, false, &bad);
    d.passed = 1;
    assert_int_equal(get(&d, &bad, "evidence"), -EPROTO);
    make_decision(&d, true, true, &good);
    d.passed = 0;
    assert_int_equal(get(&d, &good, "evidence"), -EPROTO);
}

static void decisions_out_of_their_range_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 11; i++) {
        _buffer_ struct buffer findings = {0};
        struct message_decision d;
        make_decision(&d, i < 8, i < 8, &findings);
        switch (i) {
        case 0:
            d.readable = 2;
            break;
        case 1:
            d.passed = 0xff;
            break;
        case 2:
            d.zero[5] = 1;
            break;
        case 3:
            d.platform[0] = '\0';
            break;
        case 4:
            memset(d.platform, 'x', sizeof(d.platform));
            break;
        case 5:
            d.platform[31] = 'x';
            break;
        case 6:
            d.findings_size--;
            break;
        case 7:
            d.evidence_size++;
            break;
        case 8:
            d.volume[0] = 1;
            break;
        case 9:
            d.evidence_sha256[31] = 1;
            break;
        case 10:
            d.findings_size = UINT32_MAX;
            break;
        }
        assert_int_equal(get(&d, &findings, i < 8 ? "evidence" : ""), -EPROTO);
    }
}

static void every_cut_of_a_decision_is_refused(void **state)
{
    (void)state;
    _buffer_ struct buffer findings = {0}, body = {0};
    struct message_decision d, got;
    struct bytes e;
    make_decision(&d, true, true, &findings);
    assert_int_equal(buffer_append(&body, &d, sizeof(d)), 0);
    assert_int_equal(buffer_append(&body, findings.data, findings.size), 0);
    assert_int_equal(buffer_append(&body, "evidence", 8), 0);
    for (size_t n = 0; n < body.size; n++) {
        _findings_ struct findings f = {0};
        _buffer_ struct buffer names = {0};
        assert_int_equal(messages_get_decision(BYTES(body.data, n), &got, &f, &names, &e, NULL),
                         -EPROTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_come_back_as_they_were),
        cmocka_unit_test(as_many_as_there_can_be),
        cmocka_unit_test(every_cut_and_every_byte_more_is_refused),
        cmocka_unit_test(bytes_out_of_their_range_are_refused),
        cmocka_unit_test(a_text_with_a_nul_is_refused),
        cmocka_unit_test(a_text_of_what_does_not_reject_is_refused),
        cmocka_unit_test(an_unknown_waiver_is_refused),
        cmocka_unit_test(rejections_have_room_before_all_others),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(decisions_come_back_as_they_were),
        cmocka_unit_test(a_verdict_that_its_findings_contradict_is_refused),
        cmocka_unit_test(decisions_out_of_their_range_are_refused),
        cmocka_unit_test(every_cut_of_a_decision_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
