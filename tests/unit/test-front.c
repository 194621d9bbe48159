#include "unit.h"
#include "broker_wires.h"
#include "crypto/certificate_verify.h"
#include "crypto/tls_context.h"
#include "daemon/front.h"
#include "daemon/handoff.h"
#include "protocol/http.h"
#include "protocol/release.h"

#include <malloc.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

static struct broker_files files;

enum decision { GRANT, DENY, HOLD };

/* A front, and a thread that plays its gate, its appraiser and the keeper. */
struct front_test {
    struct role_process p;
    uint64_t next;
    pthread_t others;
    atomic_bool stop, refuse_to_sign, appraiser_sleeps;
    _Atomic(enum decision) decision;
    atomic_uint signatures, ended, evidence_count;
    atomic_ulong held; /* the last connection with HOLD */
    uint8_t exporter[CHANNEL_EXPORTER_SIZE];
    atomic_size_t body_size;
    uint8_t body_first;
};

static void play_gate(struct front_test *t, struct channel *c)
{
    struct error e = {0};
    struct frame f;
    if (channel_fill(c, &e) < 0)
        return;
    while (channel_next(c, &f, &e) > 0) {
        if (f.type == MESSAGE_ENDED) {
            t->ended++;
            continue;
        }
        assert_int_equal(f.type, MESSAGE_SIGN);
        struct message_sign m;
        uint8_t message[CERTIFICATE_VERIFY_MAX];
        size_t n;
        _buffer_ struct buffer der = {0};
        memcpy(&m, f.body.data, sizeof(m));
        assert_int_equal(certificate_verify_put(BYTES(m.hash, m.size), message, &n), 0);
        assert_int_equal(tls_identity_sign(files.identity, BYTES(message, n), &der, &e), 0);
        t->signatures++;
        put_frame(c, MESSAGE_SIGNATURE, f.connection, der.data, t->refuse_to_sign ? 0 : der.size);
    }
}

static void answer(struct front_test *t, uint64_t number, enum decision d)
{
    struct message_answer m = {.status = 403, .code = "denied"};
    memset(m.id, 'a', sizeof(m.id) - 1);
    if (d == GRANT) {
        m.status = 200;
        memset(m.secret, 0x42, sizeof(m.secret));
    }
    put_frame(&t->p.ends[WIRE_ANSWER][0], MESSAGE_ANSWER, number, &m, sizeof(m));
}

static void play_appraiser(struct front_test *t, struct channel *c)
{
    struct error e = {0};
    struct frame f;
    if (channel_fill(c, &e) < 0)
        return;
    while (channel_next(c, &f, &e) > 0) {
        assert_int_equal(f.type, MESSAGE_EVIDENCE);
        assert_true(f.body.size >= CHANNEL_EXPORTER_SIZE);
        memcpy(t->exporter, f.body.data, CHANNEL_EXPORTER_SIZE);
        t->body_size = f.body.size - CHANNEL_EXPORTER_SIZE;
        t->body_first = t->body_size ? f.body.data[CHANNEL_EXPORTER_SIZE] : 0;
        if (t->decision == HOLD)
            t->held = f.connection;
        else
            answer(t, f.connection, t->decision);
        t->evidence_count++;
    }
}

static void *play_others(void *arg)
{
    struct front_test *t = arg;
    struct channel *sign = &t->p.ends[WIRE_SIGN][0], *evidence = &t->p.ends[WIRE_EVIDENCE][0];
    while (!t->stop) {
        struct pollfd p[] = {
            {sign->ended ? -1 : sign->fd, POLLIN, 0},
            {evidence->ended || t->appraiser_sleeps ? -1 : evidence->fd, POLLIN, 0}};
        poll(p, 2, 5);
        if (p[0].revents)
            play_gate(t, sign);
        if (p[1].revents)
            play_appraiser(t, evidence);
    }
    return NULL;
}

static void start_front(struct front_test *t)
{
    static const enum wire wires[] = {WIRE_CONTROL, WIRE_HANDOFF, WIRE_SIGN, WIRE_EVIDENCE,
                                      WIRE_ANSWER};
    for (size_t i = 0; i < ARRAY_SIZE(wires); i++)
        add_wire(&t->p, wires[i]);
    t->next = 100;
    start_role(&t->p, ROLE_FRONT, &files.config, front_run);
    assert_int_equal(pthread_create(&t->others, NULL, play_others, t), 0);
}

static void stop_others(struct front_test *t)
{
    t->stop = true;
    pthread_join(t->others, NULL);
}

static void stop_front(struct front_test *t)
{
    stop_others(t);
    stop_role(&t->p);
}

/* A connection over loopback whose one end the front is handed; the guest's end. */
static int guest(struct front_test *t)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    struct error e = {0};
    struct message_connection m = {.peer = "guest"};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0 && fd >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, n), 0);
    int other = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(other >= 0);
    close(listener);
    assert_true(
        EVENTUALLY(handoff_send(t->p.ends[WIRE_HANDOFF][0].fd, t->next, &m, other, &e) != -EAGAIN));
    assert_int_equal(e.code == EAGAIN ? 0 : e.code, 0);
    t->next++;
    close(other);
    return fd;
}

/* ---- guests that do as they should ---- */
struct answer {
    int status; /* 0: none */
    char body[512];
    size_t size;
};

static void read_answer(struct tls *t, struct answer *ret)
{
    struct error e = {0};
    struct http_tls over = {.tls = t, .deadline = clock_now() + PATIENCE};
    struct http_stream s = http_over_tls(&over);
    struct http_response r;
    *ret = (struct answer){0};
    if (http_read_response(&s, &r, &e) < 0 || r.content_length >= sizeof(ret->body) ||
        http_read_body(&s, ret->body, r.content_length, &e) < 0)
        return;
    ret->status = r.status;
    ret->size = r.content_length;
    char byte; /* close_notify, not a mere end */
    assert_int_equal(tls_read(t, &byte, 1, over.deadline, &e), 0);
}

static struct tls *connect_tls(int fd)
{
    struct error e = {0};
    struct tls *t = NULL;
    const uint8_t(*pins)[32] = &files.pin;
    return tls_connect(&t, fd, pins, 1, clock_now() + PATIENCE, &e) == 0 ? t : NULL;
}

static void send_text(struct tls *t, const char *text)
{
    struct error e = {0};
    assert_int_equal(tls_write(t, text, strlen(text), clock_now() + PATIENCE, &e), 0);
}

static void send_release(struct tls *t, struct bytes body)
{
    struct error e = {0};
    struct http_tls over = {.tls = t, .deadline = clock_now() + PATIENCE};
    struct http_stream s = http_over_tls(&over);
    assert_int_equal(http_write_request(&s, "POST", RELEASE_PATH, "application/json", body, &e), 0);
}

/* One whole exchange; its status. */
static int release(struct front_test *t, struct answer *ret)
{
    int fd = guest(t);
    _tls_ struct tls *tls = connect_tls(fd);
    *ret = (struct answer){0};
    if (tls) {
        send_release(tls, BYTES("{}", 2));
        read_answer(tls, ret);
    }
    close(fd);
    return ret->status;
}

static void assert_serves(struct front_test *t)
{
    struct answer a;
    t->decision = GRANT;
    assert_int_equal(release(t, &a), 200);
}

/* ---- decisions ---- */
static void a_grant_is_the_secret_and_nothing_else(void **state)
{
    (void)state;
    struct front_test t = {0};
    struct answer a;
    struct error e = {0};
    uint8_t exporter[CHANNEL_EXPORTER_SIZE], secret[VOLUME_SECRET_SIZE];
    static char body[EVIDENCE_JSON_MAX]; /* the largest */
    memset(body, 'x', sizeof(body));
    memset(secret, 0x42, sizeof(secret));
    start_front(&t);
    uint64_t handshakes = metrics_get(METRIC_HANDSHAKES);
    int fd = guest(&t);
    struct tls *tls = connect_tls(fd);
    assert_non_null(tls);
    assert_int_equal(tls_exporter(tls, exporter, sizeof(exporter), CHANNEL_EXPORTER_LABEL, &e), 0);
    send_release(tls, BYTES_OF(body));
    read_answer(tls, &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.size, sizeof(secret));
    assert_memory_equal(a.body, secret, sizeof(secret));
    assert_memory_equal(t.exporter, exporter, sizeof(exporter));
    assert_int_equal(t.body_size, sizeof(body));
    assert_int_equal(t.body_first, 'x');
    assert_int_equal(t.signatures, 1);
    tls_close(tls);
    close(fd);
    assert_true(EVENTUALLY(t.ended == 1)); /* the gate hears of it */
    assert_int_equal(metrics_get(METRIC_HANDSHAKES), handshakes + 1);
    stop_front(&t);
}

static void a_denial_is_a_code_and_an_id(void **state)
{
    (void)state;
    struct front_test t = {.decision = DENY};
    struct answer a;
    start_front(&t);
    assert_int_equal(release(&t, &a), 403);
    assert_string_equal(a.body,
                        "{\"code\": \"denied\", \"id\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"
                        "\n");
    stop_front(&t);
}

static void answers_to_others_go_nowhere(void **state)
{
    (void)state;
    struct front_test t = {.decision = HOLD};
    struct answer a;
    start_front(&t);
    int fd = guest(&t);
    struct tls *tls = connect_tls(fd);
    assert_non_null(tls);
    answer(&t, 100, GRANT); /* before it asked */
    answer(&t, 4711, GRANT);
    send_release(tls, BYTES("{}", 2));
    assert_true(EVENTUALLY(t.held == 100));
    answer(&t, 100, DENY);
    answer(&t, 100, GRANT); /* too late */
    read_answer(tls, &a);
    assert_int_equal(a.status, 403);
    tls_close(tls);
    close(fd);
    assert_serves(&t);
    stop_front(&t);
}

/* ---- the other processes fail ---- */
static void without_a_signature_there_is_no_handshake(void **state)
{
    (void)state;
    struct front_test t = {.refuse_to_sign = true};
    struct answer a;
    start_front(&t);
    assert_int_equal(release(&t, &a), 0);
    assert_int_equal(t.signatures, 1);
    t.refuse_to_sign = false;
    assert_serves(&t);
    stop_front(&t);
}

static void guests_hear_it_when_keeper_or_appraiser_end(void **state)
{
    (void)state;
    static const enum wire wires[] = {WIRE_ANSWER, WIRE_EVIDENCE};
    for (size_t i = 0; i < ARRAY_SIZE(wires); i++) {
        struct front_test t = {.decision = HOLD};
        struct answer a;
        start_front(&t);
        int fd = guest(&t), other = guest(&t), quiet = guest(&t);
        struct tls *tls = connect_tls(fd), *early = connect_tls(other);
        send_release(tls, BYTES("{}", 2));
        send_text(early, "POST ");
        assert_true(EVENTUALLY(t.held == 100));
        stop_others(&t);
        channel_free(&t.p.ends[wires[i]][0]);
        read_answer(tls, &a);
        assert_int_equal(a.status, 503);
        assert_non_null(strstr(a.body, "unavailable"));
        read_answer(early, &a);
        assert_int_equal(a.status, 503);
        tls_close(tls);
        tls_close(early);
        close(fd);
        close(other);
        assert_ended_badly(&t.p);
        close(quiet);
        close_ends(&t.p, false);
    }
}

static void when_the_gate_leaves_the_last_guest_is_served(void **state)
{
    (void)state;
    struct front_test t = {.decision = HOLD};
    struct answer a;
    start_front(&t);
    int fd = guest(&t);
    struct tls *tls = connect_tls(fd);
    send_release(tls, BYTES("{}", 2));
    assert_true(EVENTUALLY(t.held == 100));
    stop_others(&t);
    channel_free(&t.p.ends[WIRE_HANDOFF][0]);
    channel_free(&t.p.ends[WIRE_SIGN][0]);
    usleep(10000);
    assert_true(role_is_alive(&t.p));
    answer(&t, 100, GRANT);
    read_answer(tls, &a);
    assert_int_equal(a.status, 200);
    tls_close(tls);
    close(fd);
    assert_ended_well(&t.p);
    close_ends(&t.p, false);
}

static void malformed_answers_end_it(void **state)
{
    (void)state;
    struct front_test t = {0};
    start_front(&t);
    put_frame(&t.p.ends[WIRE_ANSWER][0], MESSAGE_ANSWER, 1, "x", 1);
    assert_ended_badly(&t.p);
    stop_others(&t);
    close_ends(&t.p, false);
}

/* ---- TLS ---- */
static bool plain_handshake(struct front_test *t, int version, const char *alpn, unsigned size)
{
    int fd = guest(t);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)alpn, size);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    static const char q[] = "POST /v1/release HTTP/1.1\r\nContent-Type: application/json\r\n\r\n";
    char byte;
    bool ok = SSL_connect(ssl) == 1 && SSL_write(ssl, q, sizeof(q) - 1) > 0 &&
              SSL_read(ssl, &byte, 1) == 1;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return ok;
}

static void old_versions_and_other_protocols_are_refused(void **state)
{
    (void)state;
    struct front_test t = {0};
    start_front(&t);
    assert_true(plain_handshake(&t, TLS1_3_VERSION, TLS_ALPN, 10)); /* the good twin */
    uint64_t failed = metrics_get(METRIC_HANDSHAKES_FAILED);
    assert_false(plain_handshake(&t, TLS1_2_VERSION, TLS_ALPN, 10));
    assert_false(plain_handshake(&t, TLS1_3_VERSION, "\x08http/1.1", 9));
    assert_false(plain_handshake(&t, TLS1_3_VERSION, NULL, 0));
    int fd = guest(&t);
    char byte;
    assert_int_equal(send(fd, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    while (recv(fd, &byte, 1, 0) > 0)
        ; /* an alert */
    close(fd);
    assert_true(EVENTUALLY(metrics_get(METRIC_HANDSHAKES_FAILED) == failed + 4));
    assert_serves(&t);
    stop_front(&t);
}

/* ---- HTTP ---- */
#define HEAD "POST /v1/release HTTP/1.1\r\nContent-Type: application/json\r\n"

static int status_of(struct front_test *t, const char *text, struct answer *ret)
{
    int fd = guest(t);
    struct tls *tls = connect_tls(fd);
    assert_non_null(tls);
    send_text(tls, text);
    read_answer(tls, ret);
    tls_close(tls);
    close(fd);
    return ret->status;
}

static void requests_that_are_none_are_refused_here(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
        const char *code;
    } cases[] = {
        {"GET /healthz HTTP/1.1\r\n\r\n", 404, "not-found"},
        {"GET /v1/release HTTP/1.1\r\n\r\n", 405, "bad-method"},
        {"POST /v1/release HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 415, "bad-type"},
        {"POST /v1/release HTTP/1.1\r\nContent-Type: text/html\r\n\r\n", 415, "bad-type"},
        {HEAD "Content-Length: 2097153\r\n\r\n", 413, "too-large"},
        {HEAD "Content-Length: 999999999999999\r\n\r\n", 413, "too-large"},
        {HEAD "Content-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\n\r\n", 400, "bad-request"},
        {HEAD "\r\n{}", 400, "bad-request"}, /* a body without a length */
        {HEAD "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, "bad-request"},
        {HEAD "Content-Length: -1\r\n\r\n", 400, "bad-request"},
        {HEAD "Content-Length: 0x2\r\n\r\n", 400, "bad-request"},
        {HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-request"},
        {HEAD "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400, "bad-request"},
        {HEAD " folded\r\n\r\n", 400, "bad-request"},
        {HEAD "no colon\r\n\r\n", 400, "bad-request"},
        {"POST /v1/release HTTP/1.0\r\n\r\n", 400, "bad-request"},
        {"POST  /v1/release HTTP/1.1\r\n\r\n", 400, "bad-request"},
        {"POST v1/release HTTP/1.1\r\n\r\n", 400, "bad-request"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad-request"},
        {"\r\n\r\n", 400, "bad-request"},
        {"\n", 400, "bad-request"},
        {"POST /v1/release HTTP/1.1\n\n", 400, "bad-request"},
        {"\x01", 400, "bad-request"},
    };
    struct front_test t = {0};
    struct answer a;
    char code[64];
    start_front(&t);
    uint64_t malformed = metrics_get(METRIC_REQUESTS_MALFORMED);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (status_of(&t, cases[i].text, &a) != cases[i].status)
            fail_msg("case %zu: %d", i, a.status);
        snprintf(code, sizeof(code), "{\"code\": \"%s\", \"id\": \"", cases[i].code);
        assert_int_equal(strncmp(a.body, code, strlen(code)), 0);
        assert_int_equal(a.size, strlen(code) + 32 + 3);
    }
    assert_int_equal(metrics_get(METRIC_REQUESTS_MALFORMED), malformed + ARRAY_SIZE(cases));
    assert_int_equal(t.evidence_count, 0); /* nobody else saw any of it */
    assert_serves(&t);
    stop_front(&t);
}

static void a_head_without_end_is_refused(void **state)
{
    (void)state;
    struct front_test t = {0};
    struct answer a;
    static char text[HTTP_HEAD_MAX + 100];
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "POST /", 6);
    start_front(&t);
    assert_int_equal(status_of(&t, text, &a), 431);
    stop_front(&t);
}

/* The body is on its way already: the answer must not be lost in a reset. */
static void a_body_too_large_is_answered_before_it_is_read(void **state)
{
    (void)state;
    struct front_test t = {0};
    struct answer a;
    struct error e = {0};
    static char waste[1 << 20];
    start_front(&t);
    int fd = guest(&t);
    struct tls *tls = connect_tls(fd);
    send_text(tls, HEAD "Content-Length: 3000000\r\n\r\n");
    for (int i = 0; i < 3; i++)
        assert_int_equal(tls_write(tls, waste, sizeof(waste), clock_now() + PATIENCE, &e), 0);
    read_answer(tls, &a);
    assert_int_equal(a.status, 413);
    tls_close(tls);
    close(fd);
    stop_front(&t);
}

static void requests_come_in_any_portions(void **state)
{
    (void)state;
    struct front_test t = {0};
    struct answer a;
    struct error e = {0};
    static const char text[] = HEAD "Content-Length: 12\r\n\r\n{\"a\":\"bcde\"}";
    start_front(&t);
    int fd = guest(&t);
    struct tls *tls = connect_tls(fd);
    for (size_t i = 0; text[i]; i++)
        assert_int_equal(tls_write(tls, text + i, 1, clock_now() + PATIENCE, &e), 0);
    read_answer(tls, &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(t.body_size, 12);
    tls_close(tls);
    close(fd);
    stop_front(&t);
}

/* ---- guests that leave ---- */
static void half_closed_connections_are_answered(void **state)
{
    (void)state;
    struct front_test t = {0};
    struct answer a;
    start_front(&t);
    for (int i = 0; i < 2; i++) {
        int fd = guest(&t);
        struct tls *tls = connect_tls(fd);
        send_text(tls, i ? "POST /v1/rel" : HEAD "Content-Length: 2\r\n\r\n{}");
        if (i == 0) {
            shutdown(fd, SHUT_WR);
            read_answer(tls, &a);
            assert_int_equal(a.status, 200);
            tls_close(tls);
        } else { /* an end of the stream without a goodbye is an attacker's, maybe */
            shutdown(fd, SHUT_WR);
            read_answer(tls, &a);
            assert_int_equal(a.status, 0);
            tls_close(tls);
        }
        close(fd);
    }
    stop_front(&t);
}

static void leaving_early_costs_nothing(void **state)
{
    (void)state;
    struct front_test t = {.decision = HOLD};
    struct linger reset = {1, 0};
    start_front(&t);
    for (int how = 0; how < 10; how++) {
        int fd = guest(&t);
        struct tls *tls = how >= 4 ? connect_tls(fd) : NULL;
        if (how / 2 == 1)
            assert_int_equal(send(fd, "\x16\x03\x01", 3, MSG_NOSIGNAL), 3);
        if (how / 2 == 3)
            send_text(tls, "POST /v1");
        if (how / 2 == 4)
            send_text(tls, HEAD "Content-Length: 2000\r\n\r\n{");
        if (how % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        else
            tls_close(tls);
        close(fd);
        if (how % 2 && tls)
            tls_close(tls);
        assert_true(EVENTUALLY(t.ended == (unsigned)how + 1));
    }
    assert_serves(&t);
    stop_front(&t);
}

static void a_guest_that_left_before_its_answer_is_nobody(void **state)
{
    (void)state;
    struct front_test t = {.decision = HOLD};
    struct linger reset = {1, 0};
    start_front(&t);
    int fd = guest(&t);
    struct tls *tls = connect_tls(fd);
    send_release(tls, BYTES("{}", 2));
    assert_true(EVENTUALLY(t.held == 100));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    tls_close(tls);
    answer(&t, 100, GRANT);
    assert_true(EVENTUALLY(t.ended == 1));
    assert_serves(&t);
    stop_front(&t);
}

/* ---- slow guests, and many ---- */
static void a_drop_at_a_time_does_not_move_the_deadline(void **state)
{
    (void)state;
    struct front_test t = {0};
    struct error e = {0};
    files.config.request_seconds = 2;
    uint64_t timeouts = metrics_get(METRIC_TIMEOUTS);
    start_front(&t);
    uint64_t start = clock_now();
    int fd = guest(&t);
    struct tls *tls = connect_tls(fd);
    send_text(tls, HEAD "X: ");
    unsigned served = 0;
    while (tls_write(tls, "a", 1, clock_now() + PATIENCE, &e) == 0 &&
           clock_now() < start + PATIENCE) {
        assert_serves(&t);
        served++;
        usleep(50000);
    }
    assert_true(clock_now() >= start + SECONDS(2));
    assert_true(clock_now() < start + SECONDS(20));
    assert_true(served > 1);
    assert_int_equal(metrics_get(METRIC_TIMEOUTS), timeouts + 1);
    tls_close(tls);
    close(fd);
    files.config.request_seconds = 30;
    stop_front(&t);
}

static bool is_closed(int fd)
{
    char byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 30000) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void handshakes_have_a_deadline_of_their_own(void **state)
{
    (void)state;
    struct front_test t = {0};
    files.config.handshake_seconds = 1;
    start_front(&t);
    int quiet = guest(&t), begun = guest(&t);
    assert_int_equal(send(begun, "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL), 6);
    assert_true(is_closed(quiet));
    assert_true(is_closed(begun));
    close(quiet);
    close(begun);
    files.config.handshake_seconds = 30;
    stop_front(&t);
}

static void a_decision_that_does_not_come_is_unavailable(void **state)
{
    (void)state;
    struct front_test t = {.decision = HOLD};
    struct answer a;
    files.config.request_seconds = 1;
    start_front(&t);
    assert_int_equal(release(&t, &a), 503);
    answer(&t, 100, GRANT); /* it is not there any more */
    files.config.request_seconds = 30;
    assert_true(EVENTUALLY(t.ended == 1));
    assert_serves(&t);
    stop_front(&t);
}

static size_t resident(pid_t pid)
{
    char path[64];
    size_t pages = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    _fclose_ FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*u %zu", &pages), 1);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void two_thousand_that_wait_cost_little(void **state)
{
    (void)state;
    struct front_test t = {0};
    enum { MANY = 2000 };
    static int guests[MANY];
    start_front(&t);
    assert_serves(&t);
    size_t before = resident(t.p.pid);
    for (int i = 0; i < MANY; i++)
        guests[i] = guest(&t);
    assert_serves(&t); /* handed out in order: all are there */
    assert_true(resident(t.p.pid) - before < MANY * (size_t)4096);
    for (int i = 0; i < MANY; i++)
        close(guests[i]);
    assert_true(EVENTUALLY(t.ended == MANY + 2));
    stop_front(&t);
}

static void requests_wait_for_an_appraiser_that_is_busy(void **state)
{
    (void)state;
    struct front_test t = {.appraiser_sleeps = true};
    enum { MANY = 12 };
    int fds[MANY];
    struct tls *tls[MANY];
    struct answer a;
    static char body[EVIDENCE_JSON_MAX]; /* more than the wire's queue takes */
    start_front(&t);
    for (int i = 0; i < MANY; i++) {
        fds[i] = guest(&t);
        tls[i] = connect_tls(fds[i]);
        assert_non_null(tls[i]);
        send_release(tls[i], BYTES_OF(body));
    }
    t.appraiser_sleeps = false;
    for (int i = 0; i < MANY; i++) {
        read_answer(tls[i], &a);
        assert_int_equal(a.status, 200);
        tls_close(tls[i]);
        close(fds[i]);
    }
    stop_front(&t);
}

static void the_largest_goes_when_memory_is_short(void **state)
{
    (void)state;
    struct front_test t = {0};
    enum { MANY = 4 };
    int fds[MANY];
    struct tls *tls[MANY];
    struct error e = {0};
    static char body[EVIDENCE_JSON_MAX - 1];
    files.config.workers = 64; /* 4 MiB for this one */
    uint64_t unavailable = metrics_get(METRIC_UNAVAILABLE);
    start_front(&t);
    for (int i = 0; i < MANY; i++) {
        fds[i] = guest(&t);
        tls[i] = connect_tls(fds[i]);
        assert_non_null(tls[i]);
        send_text(tls[i], HEAD "Content-Length: 2097152\r\n\r\n");
        (void)!tls_write(tls[i], body, sizeof(body), clock_now() + PATIENCE, &e);
    }
    assert_true(EVENTUALLY(metrics_get(METRIC_UNAVAILABLE) >= unavailable + 2));
    assert_serves(&t); /* others are served all the same */
    for (int i = 0; i < MANY; i++) {
        tls_close(tls[i]);
        close(fds[i]);
    }
    files.config.workers = 1;
    stop_front(&t);
}

/* The beginning of a ClientHello that says it is as long as OpenSSL takes one. */
static void begin_hello(int fd)
{
    static const uint8_t first[] = {22, 3, 1, 2, 0, 1, 1, 0xff, 0xff};
    assert_int_equal(send(fd, first, sizeof(first), 0), sizeof(first));
}

static void beginnings_of_hellos_make_room_for_each_other(void **state)
{
    (void)state;
    struct front_test t = {0};
    enum { MOST = 8, MANY = 100 };
    int fds[MANY], early;
    uint64_t shed = metrics_get(METRIC_CONNECTIONS_SHED);
    files.config.workers = FRONT_HELLOS_MAX / MOST;
    start_front(&t);
    early = guest(&t);
    struct tls *tls = connect_tls(early); /* has done with it */
    for (int i = 0; i < MANY; i++) {
        fds[i] = guest(&t);
        begin_hello(fds[i]);
    }
    assert_true(EVENTUALLY(metrics_get(METRIC_CONNECTIONS_SHED) == shed + MANY - MOST));
    assert_true(is_closed(fds[0]));
    assert_false(poll(&(struct pollfd){fds[MANY - 1], POLLIN, 0}, 1, 0));
    assert_serves(&t);
    struct answer a;
    send_release(tls, BYTES("{}", 2));
    read_answer(tls, &a);
    assert_int_equal(a.status, 200);
    tls_close(tls);
    close(early);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    assert_true(EVENTUALLY(t.ended == MANY + 2));
    assert_int_equal(metrics_get(METRIC_CONNECTIONS_SHED), shed + MANY - MOST);
    files.config.workers = 1;
    stop_front(&t);
}

/* OpenSSL would keep all of it until the handshake is done. */
static void a_hello_without_end_is_refused(void **state)
{
    (void)state;
    struct front_test t = {0};
    static const uint8_t record[5] = {22, 3, 1, 0x40, 0};
    static uint8_t data[0x4000] = {1, 1, 0xff, 0xff, 3, 3};
    files.config.handshake_seconds = 600;
    start_front(&t);
    int fd = guest(&t);
    for (int i = 0; i < 2; i++) {
        (void)!send(fd, record, sizeof(record), MSG_NOSIGNAL);
        (void)!send(fd, data, sizeof(data), MSG_NOSIGNAL);
    }
    assert_true(is_closed(fd));
    close(fd);
    assert_serves(&t);
    files.config.handshake_seconds = 30;
    stop_front(&t);
}

static void a_hand_off_without_descriptors_is_one_lost_connection(void **state)
{
    (void)state;
    struct front_test t = {0};
    struct rlimit old;
    start_front(&t);
    assert_serves(&t);
    assert_true(EVENTUALLY(t.ended == 1));
    assert_int_equal(prlimit(t.p.pid, RLIMIT_NOFILE, &(struct rlimit){3, 4096}, &old), 0);
    int fd = guest(&t);
    assert_true(is_closed(fd));
    assert_true(EVENTUALLY(t.ended == 2)); /* so its number is free again */
    assert_int_equal(prlimit(t.p.pid, RLIMIT_NOFILE, &(struct rlimit){4096, 4096}, NULL), 0);
    assert_serves(&t);
    close(fd);
    stop_front(&t);
}

static int set_up(void **state)
{
    int fd;
    struct error e = {0};
    struct rlimit l;
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    /* With several, as this program's threads make them, glibc reads a file of /proc when it gives
     * memory back, which a confined child may not. A front has one thread. */
    mallopt(M_ARENA_MAX, 1);
    getrlimit(RLIMIT_NOFILE, &l);
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
    make_broker_files(&files);
    return metrics_create(&fd, &e);
}

static int tear_down(void **state)
{
    (void)state;
    free_broker_files(&files);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_is_the_secret_and_nothing_else),
        cmocka_unit_test(a_denial_is_a_code_and_an_id),
        cmocka_unit_test(answers_to_others_go_nowhere),
        cmocka_unit_test(without_a_signature_there_is_no_handshake),
        cmocka_unit_test(guests_hear_it_when_keeper_or_appraiser_end),
        cmocka_unit_test(when_the_gate_leaves_the_last_guest_is_served),
        cmocka_unit_test(malformed_answers_end_it),
        cmocka_unit_test(old_versions_and_other_protocols_are_refused),
        cmocka_unit_test(requests_that_are_none_are_refused_here),
        cmocka_unit_test(a_head_without_end_is_refused),
        cmocka_unit_test(a_body_too_large_is_answered_before_it_is_read),
        cmocka_unit_test(requests_come_in_any_portions),
        cmocka_unit_test(half_closed_connections_are_answered),
        cmocka_unit_test(leaving_early_costs_nothing),
        cmocka_unit_test(a_guest_that_left_before_its_answer_is_nobody),
        cmocka_unit_test(a_drop_at_a_time_does_not_move_the_deadline),
        cmocka_unit_test(handshakes_have_a_deadline_of_their_own),
        cmocka_unit_test(a_decision_that_does_not_come_is_unavailable),
        cmocka_unit_test(two_thousand_that_wait_cost_little),
        cmocka_unit_test(requests_wait_for_an_appraiser_that_is_busy),
        cmocka_unit_test(the_largest_goes_when_memory_is_short),
        cmocka_unit_test(beginnings_of_hellos_make_room_for_each_other),
        cmocka_unit_test(a_hello_without_end_is_refused),
        cmocka_unit_test(a_hand_off_without_descriptors_is_one_lost_connection),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
