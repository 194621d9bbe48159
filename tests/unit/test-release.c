/* The release handler and one connection, with evidence that tests/functional/forgery.c makes. */
#include "unit.h"
#include "../functional/forgery.h"
#include "lenient_policy.h"
#include "broker/connection.h"
#include "crypto/volume_key.h"
#include "protocol/http.h"
#include "protocol/release.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

/* ---- a broker that remembers what it was asked ---- */
struct broker {
    struct forgery forgery;
    struct reference reference;
    struct trust_anchors *anchors;
    struct digest rim;
    struct appraisal_policy policy;
    struct release_context context;
    uint8_t volume[16];
    uint8_t exporter[CHANNEL_EXPORTER_SIZE];
    /* what it does wrong */
    int record_result;
    size_t secret_size;
    /* what happened */
    int secrets_given, recorded;
    bool recorded_granted, recorded_evidence;
    size_t recorded_size;     /* of the request */
    char recorded_reject[32]; /* the first rejecting check */
    char recorded_id[RELEASE_ID_SIZE];
};

static int give_secret(void *arg, const uint8_t volume[16], struct secret **ret, struct error *err)
{
    struct broker *b = arg;
    (void)err;
    b->secrets_given++;
    assert_memory_equal(volume, b->volume, 16);
    *ret = secret_new(b->secret_size);
    assert_non_null(*ret);
    memset(secret_data(*ret), 0x5e, b->secret_size);
    return 0;
}

static int record(void *arg, const struct release_record *r, struct error *err)
{
    struct broker *b = arg;
    b->recorded++;
    b->recorded_granted = r->granted;
    snprintf(b->recorded_id, sizeof(b->recorded_id), "%s", r->id);
    const struct finding *why = findings_first_reject(r->findings);
    snprintf(b->recorded_reject, sizeof(b->recorded_reject), "%s", why ? why->check : "");
    b->recorded_evidence = r->evidence != NULL;
    b->recorded_size = r->request.size;
    if (r->evidence)
        assert_true(r->evidence->has_challenge);
    assert_int_equal(r->granted, findings_pass(r->findings));
    if (b->record_result < 0)
        error_set(err, -b->record_result, "the log's disk is full");
    return b->record_result;
}

static int set_up(void **state)
{
    struct broker *b = calloc(1, sizeof(*b));
    forgery_begin(&b->forgery);
    make_reference(&b->reference);
    b->anchors = chain_anchors(&b->forgery.chain);
    b->rim = digest_of("rim");
    b->policy = lenient_policy(b->anchors, &b->rim, &b->reference.values);
    b->context = (struct release_context){
        .policy = &b->policy, .secret = give_secret, .record = record, .arg = b};
    b->secret_size = VOLUME_SECRET_SIZE;
    memset(b->volume, 0xab, 16);
    memset(b->exporter, 0xe7, sizeof(b->exporter));
    signal(SIGPIPE, SIG_IGN);
    *state = b;
    return b->anchors ? 0 : -1;
}

static int tear_down(void **state)
{
    struct broker *b = *state;
    trust_anchors_free(b->anchors);
    forgery_end(&b->forgery);
    free(b);
    return 0;
}

/* A request bound to `exporter`, with `defect` if not NULL. */
static void make_request(struct broker *b, const uint8_t exporter[CHANNEL_EXPORTER_SIZE],
                         const char *defect, struct buffer *ret)
{
    _evidence_ struct evidence e = {0};
    uint8_t challenge[CHALLENGE_SIZE];
    assert_int_equal(channel_challenge(challenge, exporter, NULL), 0);
    forgery_set_challenge(&b->forgery, challenge);
    if (defect)
        forgery_apply(&b->forgery, defect);
    forgery_evidence(&b->forgery, &e);
    memcpy(e.volume, b->volume, 16);
    assert_int_equal(evidence_format(&e, ret, NULL), 0);
}

static int handle(struct broker *b, const struct buffer *request, struct release_answer *a)
{
    struct error e = {0};
    return release_handle(&b->context, buffer_bytes(request), b->exporter, a, &e);
}

/* K4: a code and a correlation id, nothing else. */
static void assert_says_no(const struct release_answer *a, int status, const char *code)
{
    char expected[128];
    assert_int_equal(a->status, status);
    assert_null(a->secret);
    assert_int_equal(strlen(a->id), RELEASE_ID_SIZE - 1);
    snprintf(expected, sizeof(expected), "{\"code\": \"%s\", \"id\": \"%s\"}\n", code, a->id);
    assert_string_equal(a->body, expected);
}

/* ---- the handler ---- */
static void good_evidence_gets_the_secret(void **state)
{
    struct broker *b = *state;
    _buffer_ struct buffer request = {0};
    _release_answer_ struct release_answer a = {0};
    make_request(b, b->exporter, NULL, &request);
    assert_int_equal(handle(b, &request, &a), 0);
    assert_int_equal(a.status, 200);
    assert_non_null(a.secret);
    assert_int_equal(secret_size(a.secret), VOLUME_SECRET_SIZE);
    assert_int_equal(secret_data(a.secret)[VOLUME_SECRET_SIZE - 1], 0x5e);
    assert_int_equal(b->recorded, 1);
    assert_true(b->recorded_granted);
    assert_true(b->recorded_evidence);
    assert_int_equal(b->recorded_size, request.size);
    assert_string_equal(b->recorded_id, a.id);
}

static void a_defect_is_refused_and_the_secret_never_touched(void **state)
{
    struct broker *b = *state;
    _buffer_ struct buffer request = {0};
    _release_answer_ struct release_answer a = {0};
    make_request(b, b->exporter, "changed-kernel", &request);
    assert_int_equal(handle(b, &request, &a), 0);
    assert_says_no(&a, 403, "denied");
    assert_int_equal(b->secrets_given, 0);
    assert_int_equal(b->recorded, 1);
    assert_false(b->recorded_granted);
    assert_string_equal(b->recorded_id, a.id);
}

static void evidence_of_another_connection_is_refused(void **state) /* E14 */
{
    struct broker *b = *state;
    _buffer_ struct buffer request = {0};
    _release_answer_ struct release_answer a = {0};
    uint8_t other[CHANNEL_EXPORTER_SIZE] = {1};
    /* The request even names the challenge that its token has. */
    make_request(b, other, NULL, &request);
    assert_int_equal(handle(b, &request, &a), 0);
    assert_says_no(&a, 403, "denied");
    assert_int_equal(b->secrets_given, 0);
}

static void another_volume_is_refused(void **state)
{
    struct broker *b = *state;
    static const uint8_t other[16] = {1};
    _buffer_ struct buffer request = {0};
    make_request(b, b->exporter, NULL, &request);
    {
        _release_answer_ struct release_answer a = {0};
        b->context.volume = other;
        assert_int_equal(handle(b, &request, &a), 0);
        assert_says_no(&a, 403, "denied");
        assert_int_equal(b->secrets_given, 0);
    }
    _release_answer_ struct release_answer a = {0};
    b->context.volume = b->volume; /* the good twin */
    assert_int_equal(handle(b, &request, &a), 0);
    assert_int_equal(a.status, 200);
}

static void what_is_not_recorded_is_not_released(void **state) /* K1 */
{
    struct broker *b = *state;
    _buffer_ struct buffer request = {0};
    _release_answer_ struct release_answer a = {0};
    b->record_result = -ENOSPC;
    make_request(b, b->exporter, NULL, &request);
    assert_int_equal(handle(b, &request, &a), -ENOSPC);
    assert_int_equal(b->recorded, 1);
    assert_says_no(&a, 503, "unavailable");
}

static void a_refusal_that_is_not_recorded_says_nothing_else(void **state)
{
    struct broker *b = *state;
    _buffer_ struct buffer request = {0};
    _release_answer_ struct release_answer a = {0};
    b->record_result = -EIO;
    make_request(b, b->exporter, "changed-kernel", &request);
    assert_int_equal(handle(b, &request, &a), -EIO);
    assert_says_no(&a, 503, "unavailable");
    assert_int_equal(b->secrets_given, 0);
}

static void a_secret_of_another_size_is_not_released(void **state)
{
    struct broker *b = *state;
    _buffer_ struct buffer request = {0};
    _release_answer_ struct release_answer a = {0};
    b->secret_size = VOLUME_SECRET_SIZE + 1;
    make_request(b, b->exporter, NULL, &request);
    assert_true(handle(b, &request, &a) < 0);
    assert_says_no(&a, 503, "unavailable");
    assert_int_equal(b->recorded, 1);
    assert_false(b->recorded_granted);
    assert_true(b->recorded_evidence);
    assert_string_equal(b->recorded_reject, "secret");
}

static void what_is_no_evidence_is_a_bad_request_and_recorded(void **state)
{
    struct broker *b = *state;
    static const char *const bodies[] = {"", "{}", "[", "\xff"};
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        _release_answer_ struct release_answer a = {0};
        struct error e = {0};
        assert_true(release_handle(&b->context, BYTES_STR(bodies[i]), b->exporter, &a, &e) < 0);
        assert_says_no(&a, 400, "bad-request");
        assert_non_null(strstr(e.text, "request"));
        assert_int_equal(b->recorded, i + 1);
        assert_false(b->recorded_granted);
        assert_false(b->recorded_evidence);
        assert_int_equal(b->recorded_size, strlen(bodies[i]));
        assert_string_equal(b->recorded_reject, "request");
        assert_string_equal(b->recorded_id, a.id);
    }
    assert_int_equal(b->secrets_given, 0);
}

static void a_bad_request_that_is_not_recorded_is_unavailable(void **state)
{
    struct broker *b = *state;
    _release_answer_ struct release_answer a = {0};
    struct error e = {0};
    b->record_result = -EIO;
    assert_int_equal(release_handle(&b->context, BYTES_STR("{}"), b->exporter, &a, &e), -EIO);
    assert_says_no(&a, 503, "unavailable");
    assert_string_equal(e.text, "the log's disk is full");
}

static void ids_are_never_the_same(void **state)
{
    (void)state;
    _release_answer_ struct release_answer a = {0}, b = {0};
    assert_int_equal(release_answer_begin(&a, NULL), 0);
    assert_int_equal(release_answer_begin(&b, NULL), 0);
    assert_string_not_equal(a.id, b.id);
    assert_says_no(&a, 503, "unavailable");
}

/* ---- a connection: the broker in a thread, the test is the guest ---- */
struct link {
    struct broker *broker;
    struct tls_identity *identity;
    uint8_t pin[1][32];
    int fds[2];
    uint64_t deadline;
    pthread_t thread;
    int result;
    struct connection_result report;
    struct tls *tls;
};

static void *serve(void *arg)
{
    struct link *l = arg;
    struct error e = {0};
    l->result = connection_serve(l->fds[0], l->identity, &l->broker->context, l->deadline,
                                 l->deadline, &l->report, &e);
    shutdown(l->fds[0], SHUT_RDWR);
    return NULL;
}

static void connect_to(struct link *l, struct broker *b, uint64_t patience)
{
    char folder[] = "/tmp/encroot-test-XXXXXX", key[64], cert[64];
    struct error e = {0};
    *l = (struct link){.broker = b, .deadline = clock_now() + patience};
    assert_non_null(mkdtemp(folder));
    snprintf(key, sizeof(key), "%s/key", folder);
    snprintf(cert, sizeof(cert), "%s/cert", folder);
    assert_int_equal(tls_identity_create(key, cert, &e), 0);
    assert_int_equal(tls_identity_load(&l->identity, key, cert, &e), 0);
    assert_int_equal(tls_identity_pin(l->identity, l->pin[0]), 0);
    unlink(key);
    unlink(cert);
    rmdir(folder);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, l->fds), 0);
    assert_int_equal(pthread_create(&l->thread, NULL, serve, l), 0);
    assert_int_equal(tls_connect(&l->tls, l->fds[1], (const uint8_t(*)[32])l->pin, 1,
                                 clock_now() + SECONDS(20), &e),
                     0);
}

/* Says goodbye, waits for the broker's thread. */
static void hang_up(struct link *l)
{
    tls_close(l->tls);
    close(l->fds[1]);
    pthread_join(l->thread, NULL);
    close(l->fds[0]);
    tls_identity_free(l->identity);
}

static void say(struct link *l, const char *text)
{
    assert_int_equal(tls_write(l->tls, text, strlen(text), clock_now() + SECONDS(20), NULL), 0);
}

static int read_status(struct link *l, char body[256])
{
    struct http_tls over = {.tls = l->tls, .deadline = clock_now() + SECONDS(20)};
    struct http_stream s = http_over_tls(&over);
    struct http_response a;
    struct error e = {0};
    memset(body, 0, 256);
    assert_int_equal(http_read_response(&s, &a, &e), 0);
    assert_true(a.content_length < 256);
    assert_int_equal(http_read_body(&s, body, (size_t)a.content_length, &e), 0);
    return a.status;
}

static void a_connection_delivers_the_secret(void **state)
{
    struct broker *b = *state;
    struct link l;
    char body[256];
    uint8_t exporter[CHANNEL_EXPORTER_SIZE], expected[VOLUME_SECRET_SIZE];
    _buffer_ struct buffer request = {0};
    memset(expected, 0x5e, sizeof(expected));
    connect_to(&l, b, SECONDS(20));
    assert_int_equal(tls_exporter(l.tls, exporter, sizeof(exporter), CHANNEL_EXPORTER_LABEL, NULL),
                     0);
    make_request(b, exporter, NULL, &request);
    struct http_tls over = {.tls = l.tls, .deadline = l.deadline};
    struct http_stream s = http_over_tls(&over);
    assert_int_equal(http_write_request(&s, "POST", RELEASE_PATH, "application/json",
                                        buffer_bytes(&request), NULL),
                     0);
    assert_int_equal(read_status(&l, body), 200);
    assert_memory_equal(body, expected, sizeof(expected));
    hang_up(&l);
    assert_int_equal(l.result, 0);
    assert_true(l.report.handshake && l.report.request && l.report.delivered);
    assert_string_equal(l.report.id, b->recorded_id);
}

static void other_requests_are_answered_and_not_handled(void **state)
{
    struct broker *b = *state;
    static const struct {
        const char *head;
        int status;
    } cases[] = {
        {"GET /v1/release HTTP/1.1\r\nContent-Type: application/json\r\n\r\n", 405},
        {"POST / HTTP/1.1\r\nContent-Type: application/json\r\n\r\n", 404},
        {"POST /v1/release?x HTTP/1.1\r\nContent-Type: application/json\r\n\r\n", 404},
        {"POST /v1/release HTTP/1.1\r\nContent-Type: text/html\r\n\r\n", 415},
        {"POST /v1/release HTTP/1.1\r\n\r\n", 415},
        /* refused by its head: the body is not waited for */
        {"POST /v1/release HTTP/1.1\r\nContent-Type: application/json\r\n"
         "Content-Length: 2097153\r\n\r\n",
         413},
        {"POST /v1/release HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST /v1/release\r\n\r\n", 400},
        {"POST /v1/release HTTP/1.1\r\nContent-Type: application/json\r\n\r\n", 400},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct link l;
        char body[256];
        connect_to(&l, b, SECONDS(20));
        say(&l, cases[i].head);
        assert_int_equal(read_status(&l, body), cases[i].status);
        assert_non_null(strstr(body, "\"id\": \""));
        hang_up(&l);
        assert_true(l.result < 0);
        assert_int_equal(l.report.status, cases[i].status);
        assert_non_null(strstr(body, l.report.id));
        assert_false(l.report.delivered);
    }
    assert_int_equal(b->secrets_given, 0);
    assert_int_equal(b->recorded, 1); /* the last: a release request, with nothing in it */
}

static void a_guest_that_stops_speaking_costs_the_deadline(void **state) /* C8 */
{
    struct broker *b = *state;
    static const char *const beginnings[] = {
        "",
        "POST /v1/rel",
        ("POST /v1/release HTTP/1.1\r\nContent-Type: application/json\r\n"
         "Content-Length: 10\r\n\r\n{"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++) {
        struct link l;
        connect_to(&l, b, SECONDS(1));
        say(&l, beginnings[i]);
        pthread_join(l.thread, NULL);
        assert_int_equal(l.result, -ETIMEDOUT);
        assert_true(l.report.handshake);
        assert_false(l.report.request);
        assert_true(clock_now() < l.deadline + SECONDS(5));
        tls_close(l.tls);
        close(l.fds[0]);
        close(l.fds[1]);
        tls_identity_free(l.identity);
    }
}

static void a_guest_that_leaves_is_noticed(void **state)
{
    struct broker *b = *state;
    struct link l;
    connect_to(&l, b, SECONDS(20));
    hang_up(&l); /* properly, but without a request: it could make no evidence */
    assert_int_equal(l.result, -ENODATA);
    connect_to(&l, b, SECONDS(20));
    say(&l, "POST /v1/release HTTP/1.1\r\nContent-Type: application/json\r\n"
            "Content-Length: 10\r\n\r\n{");
    hang_up(&l);
    assert_true(l.result < 0);
    assert_int_equal(l.report.status, 0);
    assert_int_equal(b->recorded, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(good_evidence_gets_the_secret),
        TEST(a_defect_is_refused_and_the_secret_never_touched),
        TEST(evidence_of_another_connection_is_refused),
        TEST(another_volume_is_refused),
        TEST(what_is_not_recorded_is_not_released),
        TEST(a_refusal_that_is_not_recorded_says_nothing_else),
        TEST(a_secret_of_another_size_is_not_released),
        TEST(what_is_no_evidence_is_a_bad_request_and_recorded),
        TEST(a_bad_request_that_is_not_recorded_is_unavailable),
        TEST(ids_are_never_the_same),
        TEST(a_connection_delivers_the_secret),
        TEST(other_requests_are_answered_and_not_handled),
        TEST(a_guest_that_stops_speaking_costs_the_deadline),
        TEST(a_guest_that_leaves_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
