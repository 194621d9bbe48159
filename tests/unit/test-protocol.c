#include "unit.h"
#include "crypto/base64.h"
#include "protocol/evidence.h"
#include "protocol/http.h"

/* A stream over memory: reads hand out at most `step` bytes, writes collect. */
struct memory {
    struct bytes in;
    size_t at, step;
    struct buffer out;
};

static ssize_t memory_read(void *arg, void *p, size_t n, struct error *err)
{
    (void)err;
    struct memory *m = arg;
    size_t left = m->in.size - m->at;
    n = n < left ? n : left;
    n = n < m->step ? n : m->step;
    if (n)
        memcpy(p, m->in.data + m->at, n);
    m->at += n;
    return (ssize_t)n;
}

static int memory_write(void *arg, const void *p, size_t n, struct error *err)
{
    (void)err;
    struct memory *m = arg;
    return buffer_append(&m->out, p, n);
}

static int request(const char *text, struct http_request *ret)
{
    struct memory m = {.in = BYTES_STR(text), .step = 3};
    struct http_stream s = {memory_read, memory_write, &m};
    struct error e = {0};
    return http_read_request(&s, ret, &e);
}

static int response(const char *text, struct http_response *ret)
{
    struct memory m = {.in = BYTES_STR(text), .step = 3};
    struct http_stream s = {memory_read, memory_write, &m};
    struct error e = {0};
    return http_read_response(&s, ret, &e);
}

static void requests_round_trip(void **state)
{
    (void)state;
    struct memory m = {.step = 1000};
    struct http_stream s = {memory_read, memory_write, &m};
    struct error e = {0};
    assert_int_equal(
        http_write_request(&s, "POST", "/v1/release", "application/json", BYTES_STR("{}"), &e), 0);
    m.in = buffer_bytes(&m.out);
    struct http_request q;
    char body[2];
    assert_int_equal(http_read_request(&s, &q, &e), 0);
    assert_string_equal(q.method, "POST");
    assert_string_equal(q.path, "/v1/release");
    assert_string_equal(q.content_type, "application/json");
    assert_int_equal(q.content_length, 2);
    assert_int_equal(http_read_body(&s, body, 2, &e), 0);
    assert_memory_equal(body, "{}", 2);
    assert_int_equal(http_read_body(&s, body, 1, &e), -ENODATA);
    buffer_free(&m.out);
}

static void responses_round_trip(void **state)
{
    (void)state;
    struct memory m = {.step = 1};
    struct http_stream s = {memory_read, memory_write, &m};
    struct error e = {0};
    assert_int_equal(http_write_response(&s, 403, "application/json", BYTES_STR("{}"), &e), 0);
    m.in = buffer_bytes(&m.out);
    struct http_response a;
    assert_int_equal(http_read_response(&s, &a, &e), 0);
    assert_int_equal(a.status, 403);
    assert_int_equal(a.content_length, 2);
    buffer_free(&m.out);
}

static void strange_messages_are_refused(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /v1/release HTTP/1.0\r\n\r\n",
        "POST  /v1/release HTTP/1.1\r\n\r\n",
        "POST v1 HTTP/1.1\r\n\r\n",
        "PO(ST / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\n\n",
        "POST / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 2, 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 0x10\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 9999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nA : b\r\n\r\n",
        "POST / HTTP/1.1\r\n folded: b\r\n\r\n",
        "POST / HTTP/1.1\r\nnocolon\r\n\r\n",
        "POST / HTTP/1.1\r\nA: b\x01\r\n\r\n",
        "POST / HTTP/1.1\r\nA: b\r\n",
        "POST / HTTP/1.1\r\r\n\r\n",
        "\r\n\r\n",
    };
    struct http_request q;
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++)
        assert_int_equal(request(requests[i], &q), -EPROTO);
    assert_int_equal(request("", &q), -ENODATA);
    assert_int_equal(request("POST / HTTP/1.1\r\nA: b\r\ncontent-LENGTH:\t7 \r\n\r\n", &q), 0);
    assert_int_equal(q.content_length, 7);

    struct http_response a;
    assert_int_equal(response("HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n", &a), 0);
    assert_int_equal(response("HTTP/1.1 200 OK\r\n\r\n", &a), -EPROTO);
    /* RFC 9110, 15.3.5: no content needs no length, and has none */
    assert_int_equal(response("HTTP/1.1 204 No Content\r\n\r\n", &a), 0);
    assert_int_equal(a.content_length, 0);
    assert_int_equal(response("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}", &a),
                     -EPROTO);
    assert_int_equal(response("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", &a), -EPROTO);
    assert_int_equal(response("HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n", &a), -EPROTO);
    assert_int_equal(response("HTTP/1.1 20 X\r\nContent-Length: 0\r\n\r\n", &a), -EPROTO);
}

static void heads_are_bounded(void **state)
{
    (void)state;
    _free_ char *text = malloc(HTTP_HEAD_MAX + 100);
    memset(text, 'a', HTTP_HEAD_MAX + 99);
    text[HTTP_HEAD_MAX + 99] = '\0';
    struct http_request q;
    assert_int_equal(request(text, &q), -EFBIG);
}

static void base64_has_one_form(void **state)
{
    (void)state;
    static const char *const good[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYmFy"};
    static const char *const plain[] = {"", "f", "fo", "foo", "foobar"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        _buffer_ struct buffer b = {0}, text = {0};
        assert_int_equal(base64_decode(BYTES_STR(good[i]), &b), 0);
        assert_true(bytes_equal(buffer_bytes(&b), BYTES_STR(plain[i])));
        assert_int_equal(base64_encode(BYTES_STR(plain[i]), &text), 0);
        assert_true(bytes_equal(buffer_bytes(&text), BYTES_STR(good[i])));
    }
    static const char *const bad[] = {"Zg",   "Zg=",  "Zh==",     "Zm9=",     " Zg==", "Zg==\n",
                                      "====", "Z===", "Zg==Zg==", "Zm9v-_==", "Zm\0v"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        _buffer_ struct buffer b = {0};
        assert_int_equal(base64_decode(BYTES_STR(bad[i]), &b), -EINVAL);
        assert_int_equal(b.size, 0);
    }
    /* across the block size, every remainder */
    for (size_t n = ((size_t)3 << 18) - 2; n < ((size_t)3 << 18) + 4; n++) {
        _buffer_ struct buffer in = {0}, text = {0}, out = {0};
        assert_int_equal(buffer_reserve(&in, n), 0);
        for (; in.size < n; in.size++)
            in.data[in.size] = (uint8_t)(in.size * 7 + in.size / 251);
        assert_int_equal(base64_encode(buffer_bytes(&in), &text), 0);
        assert_int_equal(base64_decode(buffer_bytes(&text), &out), 0);
        assert_true(bytes_equal(buffer_bytes(&in), buffer_bytes(&out)));
    }
}

static struct evidence sample(void)
{
    struct evidence e = {.platform = "virtcca", .log_format = EVENT_LOG_CCEL};
    memset(e.volume, 0xab, sizeof(e.volume));
    assert_int_equal(buffer_append(&e.token, "token", 5), 0);
    assert_int_equal(buffer_append(&e.event_log, "log", 3), 0);
    return e;
}

static void evidence_round_trips(void **state)
{
    (void)state;
    _evidence_ struct evidence e = sample();
    e.has_challenge = true;
    memset(e.challenge, 0xcd, sizeof(e.challenge));
    _buffer_ struct buffer text = {0};
    struct error err = {0};
    assert_int_equal(evidence_format(&e, &text, &err), 0);
    _evidence_ struct evidence back = {0};
    assert_int_equal(evidence_parse(&back, buffer_bytes(&text), "x", &err), 0);
    assert_memory_equal(back.volume, e.volume, 16);
    assert_string_equal(back.platform, "virtcca");
    assert_int_equal(back.log_format, EVENT_LOG_CCEL);
    assert_true(bytes_equal(buffer_bytes(&back.token), BYTES_STR("token")));
    assert_int_equal(back.certificate.size, 0);
    assert_true(back.has_challenge);
    assert_memory_equal(back.challenge, e.challenge, CHALLENGE_SIZE);
}

static void evidence_is_strict(void **state)
{
    (void)state;
#define HEAD "{\"version\":1,\"volume\":\"abababab-abab-abab-abab-abababababab\","
#define LOG "\"event_log\":{\"format\":\"tcg2\",\"data\":\"\"}"
    static const char good[] =
        HEAD "\"platform\":\"virtcca\",\"token\":\"\",\"certificate\":\"\"," LOG "}";
    static const char *const bad[] = {
        "[]",
        "{}",
        HEAD "\"platform\":\"virtcca\",\"token\":\"\",\"certificate\":\"\"}",
        HEAD "\"platform\":\"virtcca\",\"token\":\"\",\"certificate\":\"\",\"x\":1," LOG "}",
        HEAD "\"platform\":\"virtcca\",\"token\":\"!\",\"certificate\":\"\"," LOG "}",
        HEAD "\"platform\":\"\",\"token\":\"\",\"certificate\":\"\"," LOG "}",
        HEAD "\"platform\":\"virt cca\",\"token\":\"\",\"certificate\":\"\"," LOG "}",
        HEAD "\"platform\":\"0123456789012345678901234567890123\",\"token\":\"\",\"certificate\":"
             "\"\"," LOG "}",
        HEAD
        "\"platform\":\"virtcca\",\"token\":\"\",\"certificate\":\"\",\"challenge\":\"00\"," LOG
        "}",
        HEAD "\"platform\":\"virtcca\",\"token\":\"\",\"certificate\":\"\",\"event_log\":{"
             "\"format\":\"ima\",\"data\":\"\"}}",
        "{\"version\":2,\"volume\":\"abababab-abab-abab-abab-abababababab\",\"platform\":"
        "\"virtcca\",\"token\":\"\",\"certificate\":\"\"," LOG "}",
    };
    struct error err = {0};
    _evidence_ struct evidence e = {0};
    assert_int_equal(evidence_parse(&e, BYTES_STR(good), "x", &err), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        _evidence_ struct evidence none = {0};
        assert_true(evidence_parse(&none, BYTES_STR(bad[i]), "x", &err) < 0);
    }
}

static void evidence_parts_are_bounded(void **state)
{
    (void)state;
    _evidence_ struct evidence e = sample();
    struct error err = {0};
    _buffer_ struct buffer text = {0};
    while (e.token.size <= EVIDENCE_TOKEN_MAX)
        assert_int_equal(buffer_append(&e.token, "0123456789abcdef", 16), 0);
    assert_int_equal(evidence_format(&e, &text, &err), -EFBIG);
    e.token.size = EVIDENCE_TOKEN_MAX;
    assert_int_equal(evidence_format(&e, &text, &err), 0);
    _evidence_ struct evidence back = {0};
    assert_int_equal(evidence_parse(&back, buffer_bytes(&text), "x", &err), 0);
    assert_int_equal(back.token.size, EVIDENCE_TOKEN_MAX);
}

/* C8: within the size that is allowed, but a hundred times as large once it is parsed. */
static void json_bombs_are_refused(void **state)
{
    (void)state;
    static const char *const parts[] = {"[],", "{},", "0,", "[", "{\"a\":", "\"\","};
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        _buffer_ struct buffer text = {0};
        _evidence_ struct evidence e = {0};
        struct error err = {0};
        assert_int_equal(buffer_append(&text, "[", 1), 0);
        while (text.size < EVIDENCE_JSON_MAX - 8)
            assert_int_equal(buffer_append(&text, parts[i], strlen(parts[i])), 0);
        assert_int_equal(evidence_parse(&e, buffer_bytes(&text), "x", &err), -EFBIG);
    }
}

/* The same head from memory, in all portions: as from a stream. */
static void heads_that_come_in_portions(void **state)
{
    (void)state;
    static const char text[] = "POST /v1/release HTTP/1.1\r\nHost: x\r\n"
                               "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    const size_t whole = sizeof(text) - 3;
    struct http_request q;
    struct error e = {0};
    for (size_t step = 1; step < sizeof(text); step++) {
        size_t at = 0;
        for (size_t n = step; n < whole; n += step) {
            assert_int_equal(http_head_end(BYTES(text, n), &at, &e), 0);
            assert_int_equal(at, n);
        }
        assert_int_equal(http_head_end(BYTES(text, sizeof(text) - 1), &at, &e), 1);
        assert_int_equal(at, whole); /* and nothing of the body */
    }
    assert_int_equal(http_parse_request(BYTES(text, whole), &q, &e), 0);
    assert_string_equal(q.path, "/v1/release");
    assert_int_equal(q.content_length, 2);
    assert_int_equal(http_parse_request(BYTES(text, whole - 1), &q, &e), -EPROTO);
    assert_int_equal(http_parse_request(BYTES(text, whole + 1), &q, &e), -EPROTO);
    assert_int_equal(http_parse_request(BYTES_NONE, &q, &e), -EPROTO);
}

static void a_head_without_end_is_given_up(void **state)
{
    (void)state;
    static char text[HTTP_HEAD_MAX + 1];
    struct error e = {0};
    size_t at = 0;
    memset(text, 'a', sizeof(text));
    assert_int_equal(http_head_end(BYTES(text, HTTP_HEAD_MAX), &at, &e), 0);
    assert_int_equal(http_head_end(BYTES(text, HTTP_HEAD_MAX + 1), &at, &e), -EFBIG);
    text[5] = '\0';
    at = 0;
    assert_int_equal(http_head_end(BYTES(text, 6), &at, &e), -EPROTO); /* at once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_round_trip),
        cmocka_unit_test(heads_that_come_in_portions),
        cmocka_unit_test(a_head_without_end_is_given_up),
        cmocka_unit_test(responses_round_trip),
        cmocka_unit_test(strange_messages_are_refused),
        cmocka_unit_test(heads_are_bounded),
        cmocka_unit_test(base64_has_one_form),
        cmocka_unit_test(evidence_round_trips),
        cmocka_unit_test(evidence_is_strict),
        cmocka_unit_test(evidence_parts_are_bounded),
        cmocka_unit_test(json_bombs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
