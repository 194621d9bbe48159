#include "unit.h"
#include "base/hex.h"
#include "base/io.h"
#include "event_log_writer.h"

static const uint8_t one[32] = {1};
static const uint8_t two[32] = {2};

/* ---- the log of a real boot ---- */

static bool read_shared(const char *name, struct buffer *ret)
{
    const char *folder = getenv("ENCROOT_SHARED_DATA");
    char path[4096];
    if (folder)
        snprintf(path, sizeof(path), "%s/%s", folder, name);
    else
        snprintf(path, sizeof(path), "%s/../shared/data/%s", getenv("ENCROOT_SOURCE"), name);
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "skipped: %s is not there\n", path);
        return false;
    }
    struct error e = {0};
    assert_int_equal(read_file(path, 1 << 20, ret, &e), 0);
    return true;
}

static void pcr_value(struct bytes text, unsigned pcr, uint8_t ret[32])
{
    char line[8];
    snprintf(line, sizeof(line), "%u 0x", pcr);
    for (const char *p = (const char *)text.data; p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, line, strlen(line)) != 0)
            continue;
        char hex[65];
        snprintf(hex, sizeof(hex), "%.64s", p + strlen(line));
        assert_int_equal(hex_decode(hex, ret, 32), 0);
        return;
    }
    fail_msg("PCR %u is not in the list", pcr);
}

/* Registers are moved by one, since register 0 is never extended. */
static void real_log_replays_to_its_pcrs(void **state)
{
    (void)state;
    _buffer_ struct buffer log = {0};
    _buffer_ struct buffer pcrs = {0};
    _event_log_ struct event_log l = {0};
    struct error e = {0};
    int8_t map[24];
    struct digest registers[25];
    if (!read_shared("eventlogs/grub-secureboot.bin", &log) ||
        !read_shared("eventlogs/grub-secureboot.pcrs", &pcrs))
        skip();
    for (int i = 0; i < 24; i++)
        map[i] = (int8_t)(i + 1);
    if (event_log_parse(&l, buffer_bytes(&log), HASH_SHA256, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(l.count, 61);
    assert_int_equal(event_log_replay(&l, map, registers, 25, &e), 0);
    size_t extended = 0;
    for (unsigned pcr = 0; pcr < 16; pcr++) {
        uint8_t expected[32];
        pcr_value(buffer_bytes(&pcrs), pcr, expected);
        if (pcr == 10) /* the running kernel's IMA: not of the boot */
            continue;
        assert_memory_equal(registers[pcr + 1].bytes, expected, 32);
        extended += !bytes_are_zero(expected, 32);
    }
    assert_int_equal(extended, 11);
}

/* ---- generated logs ---- */

static void records_come_back_as_written(void **state)
{
    (void)state;
    _buffer_ struct buffer b = {0};
    _event_log_ struct event_log l = {0};
    struct error e = {0};
    writer_begin(&b);
    size_t first = b.size;
    writer_add(&b, 4, EV_IPL, one, BYTES_STR("data"));
    writer_add(&b, 0, EV_NO_ACTION, two, BYTES_NONE);
    writer_add(&b, 7, EV_SEPARATOR, two, BYTES("\0\0\0\0", 4));
    assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_SHA256, &e), 0);
    assert_int_equal(l.count, 3);
    assert_int_equal(l.events[0].index, 4);
    assert_int_equal(l.events[0].type, EV_IPL);
    assert_int_equal(l.events[0].offset, first);
    assert_memory_equal(l.events[0].digest.bytes, one, 32);
    assert_true(bytes_equal(l.events[0].data, BYTES_STR("data")));
    assert_int_equal(l.events[1].digest.size, 0);
    assert_int_equal(l.events[2].index, 7);
}

static void log_ends_at_ones_at_zeros_or_at_its_end(void **state)
{
    (void)state;
    static const struct {
        struct bytes tail;
        int result;
    } tails[] = {
        {{(const uint8_t *)"", 0}, 0},
        {{(const uint8_t *)"\xff\xff\xff\xff", 4}, 0},
        {{(const uint8_t *)"\xff\xff\xff\xff junk", 9}, 0},
        {{(const uint8_t *)"\0\0\0\0\0\0\0", 7}, 0},
        {{(const uint8_t *)"\0\0\0\0\0\0\0x", 8}, -EBADMSG},
        {{(const uint8_t *)"\xff\xff", 2}, -EBADMSG},
    };
    for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
        _buffer_ struct buffer b = {0};
        _event_log_ struct event_log l = {0};
        writer_begin(&b);
        writer_add(&b, 4, EV_IPL, one, BYTES_NONE);
        writer_put(&b, tails[i].tail.data, tails[i].tail.size);
        assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_SHA256, NULL), tails[i].result);
        assert_int_equal(l.count, tails[i].result == 0 ? 1 : 0);
    }
}

/* E10: sizes are those of the header, of every bank. */
static void every_bank_is_read_with_its_own_size(void **state)
{
    (void)state;
    static const enum hash_alg algs[] = {HASH_SHA1, HASH_SHA384, HASH_SHA256};
    _buffer_ struct buffer b = {0};
    uint8_t digest[64];
    writer_begin_algs(&b, algs, 3);
    writer_le32(&b, 9);
    writer_le32(&b, EV_IPL);
    writer_le32(&b, 3);
    for (size_t i = 0; i < 3; i++) {
        memset(digest, (int)i + 1, sizeof(digest));
        writer_le16(&b, (uint16_t)algs[i]);
        writer_put(&b, digest, hash_size(algs[i]));
    }
    writer_le32(&b, 0);
    for (size_t i = 0; i < 3; i++) {
        _event_log_ struct event_log l = {0};
        assert_int_equal(event_log_parse(&l, buffer_bytes(&b), algs[i], NULL), 0);
        assert_int_equal(l.events[0].digest.size, hash_size(algs[i]));
        assert_int_equal(l.events[0].digest.bytes[hash_size(algs[i]) - 1], i + 1);
    }
    struct event_log l = {0};
    assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_SHA512, NULL), -EBADMSG);
    assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_NONE, NULL), -EBADMSG);
}

/* Offsets in a log with one bank: 32 header, then signature, class and versions, count, ... */
#define SPEC_SIZE_AT 28
#define SIGNATURE_AT 32
#define ALG_COUNT_AT 56
#define ALG_ID_AT 60
#define ALG_SIZE_AT 62
#define VENDOR_SIZE_AT 64
#define RECORD_AT 65
#define COUNT_AT (RECORD_AT + 8)
#define DIGEST_ALG_AT (RECORD_AT + 12)
#define DATA_SIZE_AT (RECORD_AT + 46)

/* E10: one defect each; none may be read out of bounds or be taken for a log. */
static void hostile_logs_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t bytes[4];
        size_t size;
        const char *says;
    } defects[] = {
        {4, {4}, 1, "no Spec ID"},
        {SPEC_SIZE_AT, {0xff, 0xff, 0xff, 0xff}, 4, "no Spec ID"},
        {SPEC_SIZE_AT, {32}, 1, "its size does not fit"},
        {SIGNATURE_AT, {'X'}, 1, "not \"Spec ID Event03\""},
        {ALG_COUNT_AT, {0}, 1, "0 digest algorithms"},
        {ALG_COUNT_AT, {0xff, 0xff, 0xff, 0xff}, 4, "4294967295 digest algorithms"},
        {ALG_COUNT_AT, {2}, 1, "algorithm 1 is cut off"},
        {ALG_SIZE_AT, {0xff, 0xff}, 2, "digests of 65535 bytes"},
        {ALG_SIZE_AT, {20}, 1, "digests of 20 bytes"},
        {ALG_SIZE_AT, {0}, 1, "digests of 0 bytes"},
        {ALG_ID_AT, {0x0c}, 1, "digests of 32 bytes"},
        {VENDOR_SIZE_AT, {200}, 1, "its size does not fit"},
        {COUNT_AT, {2}, 1, "2 digests"},
        {COUNT_AT, {0xff, 0xff, 0xff, 0xff}, 4, "4294967295 digests"},
        {COUNT_AT, {0}, 1, "no digest"},
        {DIGEST_ALG_AT, {0x0c}, 1, "not in the header"},
        {DATA_SIZE_AT, {0xff, 0xff, 0xff, 0xff}, 4, "4294967295 bytes of data"},
        {DATA_SIZE_AT, {5}, 1, "5 bytes of data, 4 are left"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(defects); i++) {
        _buffer_ struct buffer b = {0};
        struct event_log l = {0};
        struct error e = {0};
        writer_begin(&b);
        writer_add(&b, 4, EV_IPL, one, BYTES_STR("data"));
        assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_SHA256, &e), 0);
        event_log_free(&l);
        memcpy(b.data + defects[i].at, defects[i].bytes, defects[i].size);
        assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_SHA256, &e), -EBADMSG);
        if (!strstr(e.text, defects[i].says))
            fail_msg("defect %zu: %s", i, e.text);
        assert_null(l.events);
    }
}

static void repeated_algorithms_are_refused(void **state)
{
    (void)state;
    static const enum hash_alg twice[] = {HASH_SHA256, HASH_SHA256};
    static const enum hash_alg both[] = {HASH_SHA256, HASH_SM3};
    _buffer_ struct buffer header = {0};
    _buffer_ struct buffer record = {0};
    struct event_log l = {0};
    writer_begin_algs(&header, twice, 2);
    assert_int_equal(event_log_parse(&l, buffer_bytes(&header), HASH_SHA256, NULL), -EBADMSG);
    writer_begin_algs(&record, both, 2);
    writer_le32(&record, 4);
    writer_le32(&record, EV_IPL);
    writer_le32(&record, 2);
    for (int i = 0; i < 2; i++) {
        writer_le16(&record, HASH_SHA256);
        writer_put(&record, i ? two : one, 32);
    }
    writer_le32(&record, 0);
    assert_int_equal(event_log_parse(&l, buffer_bytes(&record), HASH_SHA256, NULL), -EBADMSG);
}

/* E5, E10: a log cut anywhere is a shorter log or an error, never the same one. */
static void truncated_logs_never_have_all_records(void **state)
{
    (void)state;
    _buffer_ struct buffer b = {0};
    writer_begin(&b);
    for (int i = 0; i < 3; i++)
        writer_add(&b, 4, EV_IPL, one, BYTES_STR("data"));
    for (size_t size = 0; size < b.size; size++) {
        /* In memory of exactly this size, so that a sanitizer sees any read beyond it. */
        _free_ uint8_t *copy = malloc(size ? size : 1);
        assert_non_null(copy);
        memcpy(copy, b.data, size);
        _event_log_ struct event_log l = {0};
        if (event_log_parse(&l, BYTES(copy, size), HASH_SHA256, NULL) == 0)
            assert_true(l.count < 3);
    }
}

static void too_many_records_are_refused(void **state)
{
    (void)state;
    _buffer_ struct buffer b = {0};
    struct event_log l = {0};
    struct error e = {0};
    writer_begin(&b);
    for (size_t i = 0; i < EVENT_LOG_MAX_RECORDS; i++)
        writer_add(&b, 4, EV_IPL, one, BYTES_NONE);
    assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_SHA256, &e), 0);
    assert_int_equal(l.count, EVENT_LOG_MAX_RECORDS);
    event_log_free(&l);
    writer_add(&b, 4, EV_IPL, one, BYTES_NONE);
    assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_SHA256, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "more than 8192 records"));
}

/* ---- replay ---- */

static const int8_t cca_map[24] = {0, 1, 2, 2, 2, 2, 2, 1, 3, 3, -1, 3,
                                   3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4,  4};

static void extend(struct digest *d, const uint8_t digest[32])
{
    assert_int_equal(digest_extend(d, BYTES(digest, 32)), 0);
}

/* E9: index 0, and what is left out, reach no register. */
static void replay_follows_the_map(void **state)
{
    (void)state;
    _buffer_ struct buffer b = {0};
    _event_log_ struct event_log l = {0};
    struct digest got[5];
    struct digest expected[5];
    writer_begin(&b);
    writer_add(&b, 0, EV_IPL, one, BYTES_NONE);
    writer_add(&b, 7, EV_SEPARATOR, two, BYTES_NONE);
    writer_add(&b, 9, EV_IPL, one, BYTES_NONE);
    writer_add(&b, 10, EV_IPL, one, BYTES_NONE);
    writer_add(&b, 8, EV_NO_ACTION, one, BYTES_NONE);
    writer_add(&b, 8, EV_IPL, two, BYTES_NONE);
    assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_SHA256, NULL), 0);
    assert_int_equal(event_log_replay(&l, cca_map, got, 5, NULL), 0);
    for (size_t i = 0; i < 5; i++)
        expected[i] = (struct digest){.alg = HASH_SHA256, .size = 32};
    extend(&expected[1], two);
    extend(&expected[3], one);
    extend(&expected[3], two);
    for (size_t i = 0; i < 5; i++)
        assert_true(digest_equal(&got[i], &expected[i]));
}

static void replay_refuses_registers_that_do_not_exist(void **state)
{
    (void)state;
    static const uint32_t indices[] = {24, 0x80000000, 0xfffffffe};
    for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
        _buffer_ struct buffer b = {0};
        _event_log_ struct event_log l = {0};
        struct digest registers[5];
        writer_begin(&b);
        writer_add(&b, indices[i], EV_IPL, one, BYTES_NONE);
        assert_int_equal(event_log_parse(&l, buffer_bytes(&b), HASH_SHA256, NULL), 0);
        assert_int_equal(event_log_replay(&l, cca_map, registers, 5, NULL), -EBADMSG);
        assert_int_equal(event_log_replay(&l, NULL, registers, 5, NULL), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_log_replays_to_its_pcrs),
        cmocka_unit_test(records_come_back_as_written),
        cmocka_unit_test(log_ends_at_ones_at_zeros_or_at_its_end),
        cmocka_unit_test(every_bank_is_read_with_its_own_size),
        cmocka_unit_test(hostile_logs_are_refused),
        cmocka_unit_test(repeated_algorithms_are_refused),
        cmocka_unit_test(truncated_logs_never_have_all_records),
        cmocka_unit_test(too_many_records_are_refused),
        cmocka_unit_test(replay_follows_the_map),
        cmocka_unit_test(replay_refuses_registers_that_do_not_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
