/* The appraiser as a process: the test is its front and its keeper. */
#include "unit.h"
#include "../functional/forgery.h"
#include "base/hex.h"
#include "base/json.h"
#include "broker_process.h"
#include "crl.h"
#include "daemon/policy_cache.h"
#include "scratch.h"

struct world {
    struct forgery forgery;
    struct daemon_config config;
    struct played appraiser;
    struct channel control, front, keeper;
    char *policy;
    uint8_t volume[16];
    uint8_t exporter[CHANNEL_EXPORTER_SIZE];
};

static const uint64_t edition = 5;

/* ---- the policy, in one file ---- */
static json_t *pem(const X509 *c)
{
    _buffer_ struct buffer text = {0};
    assert_int_equal(certificate_encode(c, true, &text, NULL), 0);
    return json_stringn((const char *)text.data, text.size);
}

static json_t *trust(const struct forgery *f)
{
    _buffer_ struct buffer list = {0};
    const struct crl_request revocation = {.issuer = f->chain.intermediate,
                                           .issuer_key = f->chain.intermediate_key,
                                           .revoked = f->revoked};
    uint8_t hash[32];
    char pin[65];
    assert_int_equal(crl_make(&revocation, true, &list), 0);
    assert_int_equal(certificate_sha256(f->chain.root, hash), 0);
    hex_encode(BYTES_OF(hash), pin);
    return json_pack("{s:[s],s:[o,o],s:[o]}", "roots", pin, "certificates", pem(f->chain.root),
                     pem(f->chain.intermediate), "revocation_lists",
                     json_stringn((const char *)list.data, list.size));
}

static json_t *every_waiver(void)
{
    json_t *list = json_array();
    for (int w = 0; w < WAIVER_COUNT; w++)
        if (!waiver_rules[w].always)
            json_array_append_new(list, json_string(waiver_name((enum waiver)w)));
    return list;
}

static char *make_policy(const struct forgery *f, const uint8_t *volume)
{
    char rim[DIGEST_HEX_SIZE], uuid[UUID_TEXT_SIZE];
    forgery_rim(rim);
    forgery_write_reference(".");
    _json_ json_t *boot = json_load_file("hash.json", 0, NULL);
    _json_ json_t *j =
        json_pack("{s:i,s:[s],s:[s],s:o,s:[O],s:o}", "version", 1, "platforms", "virtcca", "rim",
                  rim, "trust", trust(f), "boot", boot, "waive", every_waiver());
    assert_non_null(j);
    if (volume) {
        uuid_format(volume, uuid);
        json_object_set_new(j, "volume", json_string(uuid));
    }
    return json_dumps(j, 0);
}

/* ---- the process ---- */
static void start(struct world *w, enum evidence_keep keep)
{
    int ours[3];
    w->config.evidence_keep = keep;
    w->appraiser = (struct played){.process = {.role = ROLE_APPRAISER, .config = &w->config}};
    ours[0] = played_wire(&w->appraiser, WIRE_CONTROL);
    ours[1] = played_wire(&w->appraiser, WIRE_EVIDENCE);
    ours[2] = played_wire(&w->appraiser, WIRE_DECISION);
    played_start(&w->appraiser, appraiser_run, ours, ARRAY_SIZE(ours), "appraiser.log");
    channel_init(&w->control, ours[0]);
    channel_init(&w->front, ours[1]);
    channel_init(&w->keeper, ours[2]);
    expect_frame(&w->control, MESSAGE_READY, 0);
}

static void stop(struct world *w)
{
    played_kill(&w->appraiser);
    channel_free(&w->control);
    channel_free(&w->front);
    channel_free(&w->keeper);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    forgery_begin(&w->forgery);
    memset(w->volume, 0xab, 16);
    memset(w->exporter, 0xe7, sizeof(w->exporter));
    w->policy = make_policy(&w->forgery, w->volume);
    start(w, EVIDENCE_KEEP_REFUSED);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    stop(w);
    forgery_end(&w->forgery);
    free(w->policy);
    free(w);
    return 0;
}

/* ---- what is said to it ---- */
static void make_request(struct world *w, const char *defect, struct buffer *ret)
{
    _evidence_ struct evidence e = {0};
    uint8_t challenge[CHALLENGE_SIZE];
    assert_int_equal(channel_challenge(challenge, w->exporter, NULL), 0);
    forgery_set_challenge(&w->forgery, challenge);
    if (defect)
        forgery_apply(&w->forgery, defect);
    forgery_evidence(&w->forgery, &e);
    memcpy(e.volume, w->volume, 16);
    assert_int_equal(evidence_format(&e, ret, NULL), 0);
}

static void ask(struct world *w, uint64_t connection, const struct buffer *request)
{
    send_frame(&w->front, MESSAGE_EVIDENCE, connection, BYTES_OF(w->exporter),
               buffer_bytes(request));
}

static void expect_wanted(struct world *w)
{
    struct bytes b = expect_frame(&w->keeper, MESSAGE_POLICY_WANTED, 0);
    assert_true(bytes_equal(b, BYTES_OF(w->volume)));
}

static void tell_policy(struct world *w, uint64_t number, const char *text)
{
    struct message_policy m = {.edition = number};
    memcpy(m.volume, w->volume, 16);
    send_frame(&w->keeper, MESSAGE_POLICY, 0, BYTES(&m, sizeof(m)), BYTES_STR(text));
}

/* `number` is the volume's present edition, which is fetched as `text`. */
static void tell_stale(struct world *w, uint64_t connection, uint64_t number, const char *text)
{
    struct message_policy m = {.edition = number};
    memcpy(m.volume, w->volume, 16);
    send_frame(&w->keeper, MESSAGE_STALE, connection, BYTES(&m, sizeof(m)), BYTES_NONE);
    expect_wanted(w);
    tell_policy(w, number, text);
}

struct decision {
    struct message_decision said;
    struct findings findings;
    struct buffer names, evidence;
};

static void decision_free(struct decision *d)
{
    findings_free(&d->findings);
    buffer_free(&d->names);
    buffer_free(&d->evidence);
}
#define _decision_ _cleanup_(decision_free)

static void expect_decision(struct world *w, uint64_t connection, struct decision *ret)
{
    struct bytes evidence;
    struct error err = {0};
    struct bytes body = expect_frame(&w->keeper, MESSAGE_DECISION, connection);
    assert_ok(
        messages_get_decision(body, &ret->said, &ret->findings, &ret->names, &evidence, &err));
    assert_int_equal(buffer_append(&ret->evidence, evidence.data, evidence.size), 0);
}

static const char *reason(const struct decision *d)
{
    const struct finding *f = findings_first_reject(&d->findings);
    return f ? f->check : "none";
}

/* ---- good evidence ---- */
static void good_evidence_passes_by_the_policy_of_its_volume(void **state)
{
    struct world *w = *state;
    _buffer_ struct buffer request = {0}, text = {0};
    _decision_ struct decision d = {0};
    _evidence_ struct evidence e = {0};
    struct digest digest;
    make_request(w, NULL, &request);
    ask(w, 3, &request);
    expect_wanted(w);
    tell_policy(w, edition, w->policy);
    expect_decision(w, 3, &d);
    assert_string_equal(reason(&d), "none");
    assert_int_equal(d.said.passed, 1);
    assert_int_equal(d.said.readable, 1);
    assert_int_equal(d.said.edition, edition);
    assert_memory_equal(d.said.volume, w->volume, 16);
    assert_string_equal(d.said.platform, "virtcca");
    assert_int_equal(digest_compute(&digest, HASH_SHA256, buffer_bytes(&request)), 0);
    assert_memory_equal(d.said.request_sha256, digest.bytes, 32);
    assert_int_equal(evidence_parse(&e, buffer_bytes(&request), "request", NULL), 0);
    assert_int_equal(digest_compute(&digest, HASH_SHA256, buffer_bytes(&e.certificate)), 0);
    assert_memory_equal(d.said.attester, digest.bytes, 32);
    /* The digest is of the text that would be kept, with this connection's challenge. */
    assert_int_equal(channel_challenge(e.challenge, w->exporter, NULL), 0);
    e.has_challenge = true;
    assert_int_equal(evidence_format(&e, &text, NULL), 0);
    assert_int_equal(digest_compute(&digest, HASH_SHA256, buffer_bytes(&text)), 0);
    assert_memory_equal(d.said.evidence_sha256, digest.bytes, 32);
    /* It passed, but the volume may be disabled: what is kept is for the keeper to say. */
    assert_true(bytes_equal(buffer_bytes(&d.evidence), buffer_bytes(&text)));
}

static void a_policy_is_asked_for_once(void **state)
{
    struct world *w = *state;
    _buffer_ struct buffer request = {0};
    make_request(w, NULL, &request);
    for (uint64_t i = 1; i <= 5; i++)
        ask(w, i, &request);
    expect_wanted(w);
    tell_policy(w, edition, w->policy);
    for (uint64_t i = 1; i <= 5; i++) {
        _decision_ struct decision d = {0};
        expect_decision(w, i, &d);
        assert_int_equal(d.said.passed, 1);
        send_frame(&w->keeper, MESSAGE_DECIDED, i, BYTES_NONE, BYTES_NONE);
    }
    ask(w, 6, &request);
    _decision_ struct decision d = {0};
    expect_decision(w, 6, &d); /* without asking */
    assert_int_equal(d.said.passed, 1);
}

static void evidence_is_sent_where_any_is_kept(void **state)
{
    struct world *w = *state;
    static const struct {
        enum evidence_keep keep;
        const char *defect;
        bool sent;
    } cases[] = {{EVIDENCE_KEEP_ALL, NULL, true},
                 {EVIDENCE_KEEP_ALL, "changed-kernel", true},
                 {EVIDENCE_KEEP_REFUSED, "changed-kernel", true},
                 {EVIDENCE_KEEP_REFUSED, NULL, true},
                 {EVIDENCE_KEEP_NONE, "changed-kernel", false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _buffer_ struct buffer request = {0};
        _decision_ struct decision d = {0};
        struct digest digest;
        stop(w);
        start(w, cases[i].keep);
        make_request(w, cases[i].defect, &request);
        ask(w, 1, &request);
        expect_wanted(w);
        tell_policy(w, edition, w->policy);
        expect_decision(w, 1, &d);
        assert_int_equal(d.evidence.size > 0, cases[i].sent);
        assert_int_equal(digest_compute(&digest, HASH_SHA256, buffer_bytes(&d.evidence)), 0);
        if (cases[i].sent)
            assert_memory_equal(d.said.evidence_sha256, digest.bytes, 32);
        if (cases[i].defect) { /* the forgery keeps its defect */
            forgery_end(&w->forgery);
            forgery_begin(&w->forgery);
            free(w->policy);
            w->policy = make_policy(&w->forgery, w->volume);
        }
    }
}

/* ---- forgeries ---- */
static void every_forgery_is_rejected(void **state) /* E1..E16 */
{
    struct world *w = *state;
    for (size_t i = 0; forgery_defect_name(i); i++) {
        _buffer_ struct buffer request = {0};
        _decision_ struct decision d = {0};
        forgery_end(&w->forgery);
        forgery_begin(&w->forgery);
        free(w->policy);
        w->policy = make_policy(&w->forgery, w->volume);
        make_request(w, forgery_defect_name(i), &request);
        uint64_t connection = i + 1;
        ask(w, connection, &request);
        if (i == 0)
            expect_wanted(w);
        if (i == 0)
            tell_policy(w, edition, w->policy);
        else { /* each forger has authorities of its own */
            _decision_ struct decision old = {0};
            expect_decision(w, connection, &old);
            tell_stale(w, connection, edition + i, w->policy);
        }
        expect_decision(w, connection, &d);
        if (d.said.passed)
            fail_msg("%s passed", forgery_defect_name(i));
        assert_int_equal(d.said.edition, edition + i);
        assert_true(d.findings.rejected > 0);
        send_frame(&w->keeper, MESSAGE_DECIDED, connection, BYTES_NONE, BYTES_NONE);
    }
}

static void evidence_of_another_connection_is_rejected(void **state) /* E14 */
{
    struct world *w = *state;
    _buffer_ struct buffer request = {0};
    _decision_ struct decision d = {0};
    make_request(w, NULL, &request);
    w->exporter[0] ^= 1;
    ask(w, 1, &request);
    expect_wanted(w);
    tell_policy(w, edition, w->policy);
    expect_decision(w, 1, &d);
    assert_int_equal(d.said.passed, 0);
}

static void what_is_no_evidence_is_said_to_be_that(void **state)
{
    struct world *w = *state;
    static const char *const bodies[] = {"", "{}", "[[[[[[[[", "\xff\xff"};
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        _buffer_ struct buffer request = {0};
        _decision_ struct decision d = {0};
        assert_int_equal(buffer_append(&request, bodies[i], strlen(bodies[i])), 0);
        ask(w, i + 1, &request);
        expect_decision(w, i + 1, &d);
        assert_int_equal(d.said.readable, 0);
        assert_string_equal(reason(&d), "request");
    }
}

/* ---- policies ---- */
static void a_stale_policy_is_replaced_and_the_evidence_appraised_again(void **state)
{
    struct world *w = *state;
    _buffer_ struct buffer request = {0};
    _decision_ struct decision before = {0}, after = {0}, next = {0};
    make_request(w, NULL, &request);
    ask(w, 1, &request);
    expect_wanted(w);
    tell_policy(w, 1, "{\"version\":1,\"platforms\":[\"virtcca\"]}");
    expect_decision(w, 1, &before);
    assert_int_equal(before.said.passed, 0);
    tell_stale(w, 1, 2, w->policy);
    expect_decision(w, 1, &after);
    assert_int_equal(after.said.passed, 1);
    assert_int_equal(after.said.edition, 2);
    send_frame(&w->keeper, MESSAGE_DECIDED, 1, BYTES_NONE, BYTES_NONE);
    ask(w, 2, &request);
    expect_decision(w, 2, &next);
    assert_int_equal(next.said.edition, 2);
}

/* A policy changes while a fleet boots: it is fetched once, not once a guest. */
static void a_policy_that_came_already_is_not_fetched_again(void **state)
{
    struct world *w = *state;
    _buffer_ struct buffer request = {0};
    struct message_policy m = {.edition = 2};
    enum { MANY = 20 };
    memcpy(m.volume, w->volume, 16);
    make_request(w, NULL, &request);
    ask(w, 1, &request);
    expect_wanted(w);
    tell_policy(w, 1, w->policy);
    for (uint64_t i = 1; i <= MANY; i++) {
        _decision_ struct decision d = {0};
        if (i > 1)
            ask(w, i, &request);
        expect_decision(w, i, &d);
        assert_int_equal(d.said.edition, 1);
    }
    for (uint64_t i = 1; i <= MANY; i++)
        send_frame(&w->keeper, MESSAGE_STALE, i, BYTES(&m, sizeof(m)), BYTES_NONE);
    expect_wanted(w);
    tell_policy(w, 2, w->policy);
    for (uint64_t i = 1; i <= MANY; i++) {
        _decision_ struct decision d = {0};
        expect_decision(w, i, &d);
        assert_int_equal(d.said.edition, 2);
        assert_int_equal(d.said.passed, 1);
    }
}

/* Each larger than most, all waiting for one policy: what is to be told of them waits its turn. */
static void refusals_with_much_evidence_do_not_pile_up(void **state)
{
    struct world *w = *state;
    _buffer_ struct buffer request = {0};
    _evidence_ struct evidence e = {.platform = "virtcca"};
    enum { MANY = 35 };
    e.event_log.max = EVIDENCE_EVENT_LOG_MAX;
    assert_int_equal(buffer_reserve(&e.event_log, EVIDENCE_EVENT_LOG_MAX), 0);
    memset(e.event_log.data, 0, EVIDENCE_EVENT_LOG_MAX);
    e.event_log.size = EVIDENCE_EVENT_LOG_MAX;
    memcpy(e.volume, w->volume, 16);
    assert_int_equal(evidence_format(&e, &request, NULL), 0);
    for (uint64_t i = 1; i <= MANY; i++)
        ask(w, i, &request);
    expect_wanted(w);
    tell_policy(w, edition, w->policy);
    usleep(300000); /* nobody reads */
    for (uint64_t i = 1; i <= MANY; i++) {
        _decision_ struct decision d = {0};
        expect_decision(w, i, &d);
        assert_true(d.evidence.size > EVIDENCE_EVENT_LOG_MAX);
    }
}

static void what_has_no_policy_is_left_to_the_keeper(struct world *w, uint64_t why)
{
    _buffer_ struct buffer request = {0};
    _decision_ struct decision d = {0}, again = {0};
    make_request(w, NULL, &request);
    ask(w, 1, &request);
    expect_wanted(w);
    tell_policy(w, why, "");
    expect_decision(w, 1, &d);
    assert_true(d.said.edition == why);
    assert_int_equal(d.said.passed, 0);
    /* Nothing is remembered of it: the volume may come, or be put right. */
    ask(w, 2, &request);
    expect_wanted(w);
    tell_policy(w, edition, w->policy);
    expect_decision(w, 2, &again);
    assert_int_equal(again.said.passed, 1);
}

static void an_unknown_volume_is_left_to_the_keeper(void **state)
{
    what_has_no_policy_is_left_to_the_keeper(*state, EDITION_NONE);
}

static void an_unsealed_volume_is_left_to_the_keeper(void **state)
{
    what_has_no_policy_is_left_to_the_keeper(*state, EDITION_UNSEALED);
}

static void a_policy_that_the_store_does_not_give_is_left_to_the_keeper(void **state)
{
    what_has_no_policy_is_left_to_the_keeper(*state, EDITION_UNREADABLE);
}

static void a_policy_of_another_volume_passes_nothing(void **state)
{
    struct world *w = *state;
    static const uint8_t other[16] = {1};
    _buffer_ struct buffer request = {0};
    _decision_ struct decision d = {0};
    _free_ char *policy = make_policy(&w->forgery, other);
    make_request(w, NULL, &request);
    ask(w, 1, &request);
    expect_wanted(w);
    tell_policy(w, edition, policy);
    expect_decision(w, 1, &d);
    assert_int_equal(d.said.passed, 0);
}

static void a_policy_that_cannot_be_read_passes_nothing(void **state)
{
    struct world *w = *state;
    static const char *const texts[] = {"{", "", "{\"version\":1,\"boot\":[\"/etc/passwd\"]}"};
    _buffer_ struct buffer request = {0};
    make_request(w, NULL, &request);
    ask(w, 1, &request);
    expect_wanted(w);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        _decision_ struct decision d = {0};
        if (i == 0)
            tell_policy(w, 1, texts[0]);
        else
            tell_stale(w, 1, i + 1, texts[i]);
        expect_decision(w, 1, &d);
        assert_string_equal(reason(&d), "policy");
        assert_int_equal(d.said.edition, i + 1);
    }
}

static void what_was_used_longest_ago_leaves_the_cache(void **state)
{
    (void)state;
    struct policy_cache *c = calloc(1, sizeof(*c));
    struct error err = {0};
    uint8_t volume[16] = {0};
    for (size_t i = 0; i <= POLICY_CACHE_SIZE; i++) {
        volume[0] = 0;
        if (i > 0)
            assert_non_null(policy_cache_get(c, volume)); /* the first is used all the time */
        volume[0] = (uint8_t)i;
        assert_ok(policy_cache_put(c, volume, i + 1, BYTES_STR("{\"version\":1}"), &err));
    }
    volume[0] = 1;
    assert_null(policy_cache_get(c, volume));
    volume[0] = 2;
    assert_int_equal(policy_cache_get(c, volume)->edition, 3);
    volume[0] = 0;
    assert_int_equal(policy_cache_get(c, volume)->edition, 1);
    policy_cache_drop(c, volume);
    assert_null(policy_cache_get(c, volume));
    policy_cache_free(c);
    free(c);
}

/* ---- limits and ends ---- */
/* Requests that nobody decides fill their memory, and no more than that. */
static void bodies_have_a_limit(void **state) /* C8 */
{
    struct world *w = *state;
    _free_ char *large = malloc(EVIDENCE_JSON_MAX);
    struct channel *c = &w->front;
    uint64_t sent = 0;
    memset(large, ' ', EVIDENCE_JSON_MAX);
    const struct bytes parts[] = {BYTES_OF(w->exporter), BYTES(large, EVIDENCE_JSON_MAX)};
    while (sent < 100 && channel_waiting(c) == 0) {
        assert_int_equal(channel_send(c, MESSAGE_EVIDENCE, ++sent, parts, 2, NULL), 0);
        int r = channel_drain(c, clock_now() + (sent < 32 ? PATIENCE : SECONDS(2)), NULL);
        assert_true(r == 0 || (r == -ETIMEDOUT && sent >= 32));
    }
    assert_true(sent < 50);
    /* A decision makes room. */
    for (uint64_t i = 1; i <= 10; i++) {
        _decision_ struct decision d = {0};
        expect_decision(w, i, &d);
        send_frame(&w->keeper, MESSAGE_DECIDED, i, BYTES_NONE, BYTES_NONE);
    }
    assert_int_equal(channel_drain(c, clock_now() + PATIENCE, NULL), 0);
}

static void a_front_that_ends_is_followed_when_all_is_decided(void **state)
{
    struct world *w = *state;
    _buffer_ struct buffer request = {0};
    _decision_ struct decision d = {0};
    make_request(w, NULL, &request);
    ask(w, 1, &request);
    channel_free(&w->front);
    w->front.fd = -1;
    expect_wanted(w);
    tell_policy(w, edition, w->policy);
    expect_decision(w, 1, &d);
    assert_int_equal(waitpid(w->appraiser.pid, NULL, WNOHANG), 0);
    send_frame(&w->keeper, MESSAGE_DECIDED, 1, BYTES_NONE, BYTES_NONE);
    assert_int_equal(played_wait(&w->appraiser), 0);
}

static void it_ends_with_its_supervisor(void **state)
{
    struct world *w = *state;
    channel_free(&w->control);
    assert_int_equal(played_wait(&w->appraiser), 0);
}

static void a_front_out_of_place_ends_it(void **state)
{
    struct world *w = *state;
    send_frame(&w->front, MESSAGE_DECIDED, 1, BYTES_OF(w->exporter), BYTES_NONE);
    assert_int_equal(played_wait(&w->appraiser), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(good_evidence_passes_by_the_policy_of_its_volume),
        T(a_policy_is_asked_for_once),
        T(evidence_is_sent_where_any_is_kept),
        T(every_forgery_is_rejected),
        T(evidence_of_another_connection_is_rejected),
        T(what_is_no_evidence_is_said_to_be_that),
        T(a_stale_policy_is_replaced_and_the_evidence_appraised_again),
        T(a_policy_that_came_already_is_not_fetched_again),
        T(refusals_with_much_evidence_do_not_pile_up),
        T(an_unknown_volume_is_left_to_the_keeper),
        T(an_unsealed_volume_is_left_to_the_keeper),
        T(a_policy_that_the_store_does_not_give_is_left_to_the_keeper),
        T(a_policy_of_another_volume_passes_nothing),
        T(a_policy_that_cannot_be_read_passes_nothing),
        cmocka_unit_test(what_was_used_longest_ago_leaves_the_cache),
        T(bodies_have_a_limit),
        T(a_front_that_ends_is_followed_when_all_is_decided),
        T(it_ends_with_its_supervisor),
        T(a_front_out_of_place_ends_it),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
