/* The keeper between its wires: releases, refusals, and processes that break the rules. */
#include "daemon/keeper.h"
#include "base/hex.h"
#include "keeper_world.h"
#include "ticks.h"

/* ---- decisions ---- */
static void a_release_goes_to_the_front_and_has_a_record(void **state)
{
    struct keeper_world *w = *state;
    struct error err = {0};
    _secret_ struct secret *s = volume_secret(1);
    add_volume(w, 1, (struct store_volume){0});
    uint64_t c = accept_connection(w, 1);
    tell_decision(w, 1, c, 1, true);
    struct message_answer a = expect_answer(w, 1, c, 200, "");
    assert_memory_equal(a.secret, secret_data(s), VOLUME_SECRET_SIZE);
    _store_record_ struct store_record r = {0};
    assert_ok(store_audit_find(w->b.store, a.id, &r, &err));
    assert_true(r.granted);
    assert_non_null(memmem(r.text.data, r.text.size, "192.0.2.7 port 1", 16));
    assert_non_null(memmem(r.text.data, r.text.size, "\"broker\":\"test\"", 15));
}

static void refusals_have_their_codes(void **state)
{
    struct keeper_world *w = *state;
    add_volume(w, 1, (struct store_volume){0});
    add_volume(w, 2, (struct store_volume){.approval = STORE_APPROVAL_MANUAL});
    uint64_t c = accept_connection(w, 0);
    tell_decision(w, 0, c, 1, false);
    expect_answer(w, 0, c, 403, "denied");
    c = accept_connection(w, 0);
    tell_decision(w, 0, c, 2, true);
    expect_answer(w, 0, c, 403, "pending");
    c = accept_connection(w, 0);
    tell_decision(w, 0, c, 0, true); /* no such volume */
    expect_answer(w, 0, c, 403, "denied");
    c = accept_connection(w, 0);
    _findings_ struct findings f = {0};
    _buffer_ struct buffer findings = {0};
    finding_add(&f, "request", VERDICT_REJECT, NULL, NULL);
    assert_int_equal(messages_put_findings(&f, &findings, NULL), 0);
    struct message_decision d = {.findings_size = (uint32_t)findings.size};
    send_frame(&w->appraiser[0], MESSAGE_DECISION, c, BYTES(&d, sizeof(d)),
               buffer_bytes(&findings));
    expect_answer(w, 0, c, 400, "bad-request");
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 4);
}

static void policies_are_told_with_their_edition(void **state)
{
    struct keeper_world *w = *state;
    struct message_policy m;
    uint8_t uuid[16];
    add_volume(w, 1, (struct store_volume){0});
    volume_uuid(uuid, 1);
    send_frame(&w->appraiser[0], MESSAGE_POLICY_WANTED, 0, BYTES_OF(uuid), BYTES_NONE);
    struct bytes b = expect_frame(&w->appraiser[0], MESSAGE_POLICY, 0);
    assert_int_equal(b.size, sizeof(m) + strlen("the policy"));
    memcpy(&m, b.data, sizeof(m));
    assert_memory_equal(m.volume, uuid, 16);
    assert_true(m.edition == broker_store_edition(&w->b, 1));
    assert_memory_equal(b.data + sizeof(m), "the policy", 10);
    uuid[0] = 9;
    send_frame(&w->appraiser[0], MESSAGE_POLICY_WANTED, 0, BYTES_OF(uuid), BYTES_NONE);
    b = expect_frame(&w->appraiser[0], MESSAGE_POLICY, 0);
    assert_int_equal(b.size, sizeof(m));
    memcpy(&m, b.data, sizeof(m));
    assert_true(m.edition == 0);
}

static bool file_holds(const char *path, const void *what, size_t n)
{
    _buffer_ struct buffer text = {0};
    struct error err = {0};
    assert_ok(read_file(path, BUFFER_DEFAULT_MAX, &text, &err));
    return memmem(text.data, text.size, what, n) != NULL;
}

/* Only what is sealed is appraised by, not even for a moment: what passed by it could go for the
 * volume as it is sealed. */
static void a_policy_that_nobody_sealed_is_none(void **state)
{
    struct keeper_world *w = *state;
    static const char *const edits[] = {
        "UPDATE policy SET effective = CAST('{}' AS BLOB)",
        "UPDATE volume SET enabled = 0",
        ("UPDATE policy SET effective = CAST('{}' AS BLOB); UPDATE volume SET effective_sha256 = "
         "x'44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'"),
        "UPDATE volume SET seal = randomblob(40)", /* under a key that is not here */
        "DELETE FROM policy",
        /* that changes with each look at it */
        ("ALTER TABLE volume RENAME TO other; CREATE VIEW volume AS SELECT uuid, name, "
         "0 AS enabled, approval, rate_count, rate_seconds, not_before, not_after, "
         "abs(random()) AS revision, created, changed, wrapped, effective_sha256, sources_sha256, "
         "seal FROM other"),
    };
    struct message_policy m;
    uint8_t uuid[16];
    for (uint8_t i = 0; i < ARRAY_SIZE(edits); i++) {
        add_volume(w, i + 1, (struct store_volume){0}); /* a new one each time */
        volume_uuid(uuid, i + 1);
        sqlite_run(edits[i]);
        send_frame(&w->appraiser[0], MESSAGE_POLICY_WANTED, 0, BYTES_OF(uuid), BYTES_NONE);
        struct bytes b = expect_frame(&w->appraiser[0], MESSAGE_POLICY, 0);
        assert_int_equal(b.size, sizeof(m));
        memcpy(&m, b.data, sizeof(m));
        assert_true(m.edition == EDITION_UNSEALED);
    }
    assert_true(file_holds("keeper.log", "volume-1", 8));
    assert_true(file_holds("keeper.log", "past the broker", 15));
}

/* What was undone needs no reload. */
static void a_policy_that_is_put_back_is_told_again(void **state)
{
    struct keeper_world *w = *state;
    struct message_policy m;
    uint8_t uuid[16];
    add_volume(w, 1, (struct store_volume){0});
    volume_uuid(uuid, 1);
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            sqlite_run("UPDATE policy SET effective = policy");
        else
            sqlite_run("UPDATE policy SET effective = x'00'");
        send_frame(&w->appraiser[0], MESSAGE_POLICY_WANTED, 0, BYTES_OF(uuid), BYTES_NONE);
        struct bytes b = expect_frame(&w->appraiser[0], MESSAGE_POLICY, 0);
        memcpy(&m, b.data, sizeof(m));
        assert_true(m.edition == (i == 1 ? broker_store_edition(&w->b, 1) : EDITION_UNSEALED));
    }
}

/* Nor is it "no such volume", which the decision would take for a volume that was just made. */
static void a_policy_that_cannot_be_read_is_told_as_that(void **state)
{
    struct keeper_world *w = *state;
    struct message_policy m;
    uint8_t uuid[16];
    add_volume(w, 1, (struct store_volume){0});
    volume_uuid(uuid, 1);
    sqlite_run("DROP TABLE policy");
    send_frame(&w->appraiser[0], MESSAGE_POLICY_WANTED, 0, BYTES_OF(uuid), BYTES_NONE);
    struct bytes b = expect_frame(&w->appraiser[0], MESSAGE_POLICY, 0);
    assert_int_equal(b.size, sizeof(m));
    memcpy(&m, b.data, sizeof(m));
    assert_true(m.edition == EDITION_UNREADABLE);
}

static void a_policy_that_changed_is_told_and_the_connection_decided_after(void **state)
{
    struct keeper_world *w = *state;
    _buffer_ struct buffer body = {0};
    struct message_policy m;
    uint8_t uuid[16];
    add_volume(w, 1, (struct store_volume){0});
    volume_uuid(uuid, 1);
    uint64_t c = accept_connection(w, 0);
    make_decision(w, 1, true, &body);
    broker_store_set_policy(&w->b, 1, BYTES_STR("new"), BYTES_STR("newer"));
    send_frame(&w->appraiser[0], MESSAGE_DECISION, c, buffer_bytes(&body), BYTES_NONE);
    struct bytes b = expect_frame(&w->appraiser[0], MESSAGE_STALE, c);
    memcpy(&m, b.data, sizeof(m));
    assert_int_equal(b.size, sizeof(m));
    assert_true(m.edition == broker_store_edition(&w->b, 1));
    send_frame(&w->appraiser[0], MESSAGE_POLICY_WANTED, 0, BYTES_OF(uuid), BYTES_NONE);
    b = expect_frame(&w->appraiser[0], MESSAGE_POLICY, 0);
    assert_memory_equal(b.data, &m, sizeof(m));
    assert_memory_equal(b.data + sizeof(m), "newer", 5);
    tell_decision(w, 0, c, 1, true);
    expect_secret(w, 0, c, 1);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 1);
}

/* As many as may be open, and their numbers as the gate makes them: each of the first is still
 * known when others came and went many times over. */
static void an_open_connection_is_not_forgotten(void **state)
{
    struct keeper_world *w = *state;
    uint64_t most = w->config.max_connections;
    add_volume(w, 1, (struct store_volume){0});
    put_connection(w, most + 7, 0);
    for (uint64_t use = 2; use < 12; use++)
        for (uint64_t slot = 8; slot < most; slot++)
            put_connection(w, use * most + slot, 1);
    tell_decision(w, 0, most + 7, 1, true);
    expect_secret(w, 0, most + 7, 1);
}

/* Nothing is released to it, and no pair is given up for what time did. */
static void a_connection_that_is_long_over_is_refused(void **state)
{
    struct keeper_world *w = *state;
    uint64_t most = w->config.max_connections;
    add_volume(w, 1, (struct store_volume){0});
    for (uint64_t i = 1; i <= 4 * most + 1; i++)
        put_connection(w, i, 0);
    tell_decision(w, 0, 1, 1, true);
    expect_answer(w, 0, 1, 503, "unavailable");
    tell_decision(w, 0, 2, 1, true);
    expect_secret(w, 0, 2, 1);
}

/* An appraiser that asks and does not read is waited for, not given up: policies may be large. */
static void policies_do_not_pile_up(void **state)
{
    struct keeper_world *w = *state;
    enum { MANY = 40 };
    _free_ char *large = malloc((size_t)4 << 20);
    uint8_t uuid[16];
    memset(large, ' ', (size_t)4 << 20);
    broker_store_add(&w->b, 1, (struct store_volume){.enabled = true},
                     BYTES(large, (size_t)4 << 20));
    volume_uuid(uuid, 1);
    for (int i = 0; i < MANY; i++)
        send_frame(&w->appraiser[0], MESSAGE_POLICY_WANTED, 0, BYTES_OF(uuid), BYTES_NONE);
    expect_service(w, 1); /* meanwhile */
    for (int i = 0; i < MANY; i++) {
        struct bytes b = expect_frame(&w->appraiser[0], MESSAGE_POLICY, 0);
        assert_int_equal(b.size, sizeof(struct message_policy) + ((size_t)4 << 20));
    }
    expect_service(w, 0);
}

/* It asks, does not read, and goes on talking: the keeper sleeps. */
static void an_appraiser_that_does_not_read_is_not_listened_to(void **state)
{
    struct keeper_world *w = *state;
    _free_ char *large = calloc(1, (size_t)4 << 20);
    const struct bytes policy = BYTES(large, (size_t)4 << 20);
    uint8_t uuid[16];
    struct error err = {0};
    broker_store_add(&w->b, 1, (struct store_volume){.enabled = true}, policy);
    volume_uuid(uuid, 1);
    const struct bytes wanted = BYTES_OF(uuid), rest = policy;
    for (int i = 0; i < 8; i++)
        assert_ok(channel_send(&w->appraiser[0], MESSAGE_POLICY_WANTED, 0, &wanted, 1, &err));
    for (int i = 0; i < 3; i++)
        assert_ok(channel_send(&w->appraiser[0], MESSAGE_DECISION, 1, &rest, 1, &err));
    for (size_t before = 0; before != channel_waiting(&w->appraiser[0]); usleep(200000)) {
        before = channel_waiting(&w->appraiser[0]);
        assert_ok(channel_flush(&w->appraiser[0], &err));
    }
    assert_true(channel_wants_write(&w->appraiser[0]));
    unsigned long before = ticks(w->keeper.pid);
    sleep(1);
    assert_true(ticks(w->keeper.pid) - before < 50); /* of 100 */
    expect_service(w, 1);
    channel_free(&w->appraiser[0]); /* nobody waits for one that is gone */
    channel_free(&w->front[0]);
    channel_free(&w->appraiser[1]);
    channel_free(&w->front[1]);
    channel_free(&w->admin);
    assert_int_equal(played_wait(&w->keeper), 0);
}

/* A long queue of one pair does not keep another's frames that came already. */
static void a_full_batch_leaves_nothing_behind(void **state)
{
    struct keeper_world *w = *state;
    enum { MANY = 1200 };
    _buffer_ struct buffer body = {0};
    w->config.max_connections = MANY;
    keeper_stop(w);
    keeper_start(w);
    add_volume(w, 1, (struct store_volume){0});
    make_decision(w, 1, true, &body);
    const struct bytes part = buffer_bytes(&body);
    uint64_t began = clock_now();
    for (uint64_t i = 1; i <= MANY; i++)
        put_connection(w, i, (uint32_t)(i % PAIRS));
    for (uint64_t i = 1; i <= MANY; i++)
        assert_int_equal(
            channel_send(&w->appraiser[i % PAIRS], MESSAGE_DECISION, i, &part, 1, NULL), 0);
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(channel_drain(&w->appraiser[i], clock_now() + PATIENCE, NULL), 0);
    for (uint64_t i = 1; i <= MANY; i++)
        expect_secret(w, (int)(i % PAIRS), i, 1);
    assert_true(clock_now() - began < PATIENCE);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), MANY);
}

/* The two wires have no common order. */
static void a_decision_that_overtakes_the_gate_waits_for_it(void **state)
{
    struct keeper_world *w = *state;
    struct frame f;
    add_volume(w, 1, (struct store_volume){0});
    tell_decision(w, 0, 1, 1, true);
    tell_decision(w, 0, 2, 1, true);
    assert_int_equal(channel_wait(&w->front[0], &f, clock_now() + SECONDS(1) / 2, NULL),
                     -ETIMEDOUT);
    accept_connection(w, 0);
    expect_secret(w, 0, 1, 1);
    accept_connection(w, 0);
    expect_secret(w, 0, 2, 1);
}

static void much_at_once_is_decided_in_few_transactions(void **state)
{
    struct keeper_world *w = *state;
    enum { MANY = 300 };
    _buffer_ struct buffer body = {0};
    add_volume(w, 1, (struct store_volume){0});
    make_decision(w, 1, true, &body);
    const struct bytes part = buffer_bytes(&body);
    uint64_t commits = metrics_get(METRIC_COMMITS), released = metrics_get(METRIC_RELEASED);
    kill(w->keeper.pid, SIGSTOP);
    for (uint64_t i = 1; i <= MANY; i++) {
        struct message_connection m = {.peer = "peer"};
        const struct bytes connection = BYTES(&m, sizeof(m));
        assert_int_equal(channel_send(&w->gate, MESSAGE_CONNECTION, i, &connection, 1, NULL), 0);
        assert_int_equal(channel_send(&w->appraiser[0], MESSAGE_DECISION, i, &part, 1, NULL), 0);
    }
    kill(w->keeper.pid, SIGCONT);
    while (channel_wants_write(&w->gate) || channel_wants_write(&w->appraiser[0])) {
        assert_int_equal(channel_flush(&w->gate, NULL), 0);
        assert_int_equal(channel_flush(&w->appraiser[0], NULL), 0);
    }
    for (uint64_t i = 1; i <= MANY; i++)
        expect_secret(w, 0, i, 1);
    assert_int_equal(metrics_get(METRIC_RELEASED) - released, MANY);
    assert_true(metrics_get(METRIC_COMMITS) - commits < MANY / 2);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), MANY);
}

/* ---- a store that fails ---- */
static void a_failing_store_is_503_and_comes_back(void **state)
{
    struct keeper_world *w = *state;
    add_volume(w, 1, (struct store_volume){0});
    sqlite_run("CREATE TRIGGER full BEFORE INSERT ON audit "
               "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
    uint64_t c = accept_connection(w, 0);
    tell_decision(w, 0, c, 1, true);
    expect_answer(w, 0, c, 503, "unavailable");
    sqlite_run("DROP TRIGGER full");
    expect_service(w, 0);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 1);
}

/* A full disk lets a transaction end that has nothing to keep. */
static void what_writes_nothing_shows_no_recovery(void **state)
{
    struct keeper_world *w = *state;
    struct pair pair = {.decision.fd = -1, .answer.fd = -1};
    struct decision_case batch[1];
    struct keeper k = {.store_down = true,
                       .room = allowance_of(8, 1, clock_now()),
                       .refusals = allowance_of(8, 1, clock_now()),
                       .pairs = &pair,
                       .pair_count = 1,
                       .batch = batch};
    k.decider = (struct decider){
        .store = w->b.store, .ring = &w->b.ring, .broker = "test", .refusals = &k.refusals};
    struct error err = {0};
    assert_ok(connections_init(&k.connections, 8, 60, &err));
    uint64_t commits = metrics_get(METRIC_COMMITS);
    for (int i = 0; i < 2; i++) {
        batch[0] = (struct decision_case){.connection = 1, .peer = "192.0.2.1"};
        finding_add(&batch[0].findings, "request", VERDICT_REJECT, "evidence", "nonsense");
        k.batch_count = 1;
        k.decider.refusals = i ? NULL : &k.refusals;
        keeper_decide(&k);
        assert_int_equal(k.store_down, i == 0);
        assert_int_equal(metrics_get(METRIC_COMMITS) - commits, i);
    }
    connections_free(&k.connections);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 1);
}

/* ---- who breaks the rules ---- */
/* The pair's wires end, nothing was released to it, and the other pair is served. */
static void assert_given_up(struct keeper_world *w)
{
    struct frame f;
    expect_end(&w->front[0]);
    while (channel_wait(&w->appraiser[0], &f, clock_now() + PATIENCE, NULL) == 0)
        assert_int_not_equal(f.type, MESSAGE_DECIDED);
    assert_true(w->appraiser[0].ended);
    expect_service(w, 1);
}

static void another_pairs_connection_is_not_answered(void **state)
{
    struct keeper_world *w = *state;
    add_volume(w, 1, (struct store_volume){0});
    uint64_t c = accept_connection(w, 1);
    tell_decision(w, 0, c, 1, true);
    assert_given_up(w);
    /* It is still the other's, undecided. */
    tell_decision(w, 1, c, 1, true);
    expect_secret(w, 1, c, 1);
}

static void a_connection_that_never_was_is_not_answered(void **state)
{
    struct keeper_world *w = *state;
    add_volume(w, 1, (struct store_volume){0});
    accept_connection(w, 0);
    tell_decision(w, 0, 1000, 1, true);
    assert_given_up(w);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 1);
}

static void a_connection_without_a_number_is_not_answered(void **state)
{
    struct keeper_world *w = *state;
    add_volume(w, 1, (struct store_volume){0});
    accept_connection(w, 0);
    tell_decision(w, 0, 0, 1, true);
    assert_given_up(w);
}

static void a_second_decision_is_not_answered(void **state)
{
    struct keeper_world *w = *state;
    add_volume(w, 1, (struct store_volume){0});
    uint64_t c = accept_connection(w, 0);
    tell_decision(w, 0, c, 1, false);
    expect_answer(w, 0, c, 403, "denied");
    tell_decision(w, 0, c, 1, true);
    assert_given_up(w);
}

/* Both in one read: nothing is released, though the first alone would have been. */
static void two_decisions_at_once_are_both_dropped(void **state)
{
    struct keeper_world *w = *state;
    _buffer_ struct buffer body = {0};
    add_volume(w, 1, (struct store_volume){0});
    uint64_t c = accept_connection(w, 0);
    make_decision(w, 1, true, &body);
    const struct bytes part = buffer_bytes(&body);
    kill(w->keeper.pid, SIGSTOP);
    for (int i = 0; i < 2; i++)
        assert_int_equal(channel_send(&w->appraiser[0], MESSAGE_DECISION, c, &part, 1, NULL), 0);
    kill(w->keeper.pid, SIGCONT);
    assert_given_up(w);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 1); /* the other pair's */
}

/* Messages that no appraiser sends; the connection 1 is the pair's, and open. */
static void contradictory(struct keeper_world *w, struct buffer *body)
{
    struct message_decision d;
    make_decision(w, 1, false, body);
    memcpy(&d, body->data, sizeof(d));
    d.passed = 1;
    memcpy(body->data, &d, sizeof(d));
}
static void sized_wrong(struct keeper_world *w, struct buffer *body)
{
    make_decision(w, 1, true, body);
    body->size--;
}
static void with_more_behind(struct keeper_world *w, struct buffer *body)
{
    make_decision(w, 1, true, body);
    assert_int_equal(buffer_append(body, "x", 1), 0);
}
static void huge(struct keeper_world *w, struct buffer *body)
{
    (void)w;
    body->max = CHANNEL_FRAME_MAX;
    assert_int_equal(buffer_reserve(body, CHANNEL_FRAME_MAX), 0);
    memset(body->data, 0, CHANNEL_FRAME_MAX);
    body->size = CHANNEL_FRAME_MAX;
}
static void nothing(struct keeper_world *w, struct buffer *body)
{
    (void)w, (void)body;
}
static void good(struct keeper_world *w, struct buffer *body)
{
    make_decision(w, 1, true, body);
}

static const struct abuse {
    enum message type;
    void (*make)(struct keeper_world *w, struct buffer *body);
} abuses[] = {
    {MESSAGE_DECISION, contradictory},
    {MESSAGE_DECISION, sized_wrong},
    {MESSAGE_DECISION, with_more_behind},
    {MESSAGE_DECISION, nothing},
    {MESSAGE_DECISION, huge},
    {MESSAGE_POLICY_WANTED, nothing},
    {MESSAGE_POLICY_WANTED, good},
    {MESSAGE_ANSWER, nothing},
    {MESSAGE_UNWRAP, good},
    {MESSAGE_CHECKPOINT, nothing},
    {MESSAGE_CONNECTION, nothing},
    {(enum message)UINT32_MAX, nothing},
};

static void an_appraiser_out_of_place_is_given_up(void **state)
{
    struct keeper_world *w = *state;
    add_volume(w, 1, (struct store_volume){0});
    for (size_t i = 0; i < ARRAY_SIZE(abuses); i++) {
        _buffer_ struct buffer body = {0};
        uint64_t c = accept_connection(w, 0);
        abuses[i].make(w, &body);
        const struct bytes part = buffer_bytes(&body);
        int r = channel_send(&w->appraiser[0], abuses[i].type, c, &part, 1, NULL);
        if (r == 0)
            r = channel_drain(&w->appraiser[0], clock_now() + PATIENCE, NULL);
        assert_true(r == 0 || r == -EPIPE || r == -ECONNRESET);
        assert_given_up(w);
        keeper_stop(w);
        keeper_start(w);
    }
}

static void a_front_has_nothing_to_say(void **state)
{
    struct keeper_world *w = *state;
    add_volume(w, 1, (struct store_volume){0});
    accept_connection(w, 0);
    send_frame(&w->front[0], MESSAGE_ANSWER, 1, BYTES_NONE, BYTES_NONE);
    assert_given_up(w);
}

static void without_a_gate_that_keeps_to_the_rules_nothing_goes(void **state)
{
    struct keeper_world *w = *state;
    static const struct {
        uint64_t number;
        uint32_t worker;
    } cases[] = {{5, 0}, {4, 0}, {6, PAIRS}, {0, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put_connection(w, 5, 0);
        put_connection(w, cases[i].number, cases[i].worker);
        assert_int_equal(played_wait(&w->keeper), 1);
        keeper_stop(w);
        keeper_start(w);
    }
}

/* ---- the administration ---- */
static struct message_result expect_result(struct keeper_world *w, int code, struct bytes *rest)
{
    struct message_result m;
    struct bytes b = expect_frame(&w->admin, MESSAGE_RESULT, 0);
    assert_true(b.size >= sizeof(m));
    memcpy(&m, b.data, sizeof(m));
    assert_int_equal(m.code, code);
    assert_int_equal(m.text[0] != '\0', code < 0);
    *rest = BYTES(b.data + sizeof(m), b.size - sizeof(m));
    if (code < 0)
        assert_int_equal(rest->size, 0);
    return m;
}

static int expect_failure(struct keeper_world *w, struct bytes *rest)
{
    struct message_result m;
    struct bytes body = expect_frame(&w->admin, MESSAGE_RESULT, 0);
    assert_true(body.size >= sizeof(m));
    memcpy(&m, body.data, sizeof(m));
    *rest = BYTES(body.data + sizeof(m), body.size - sizeof(m));
    return m.code;
}

static void send_user(struct keeper_world *w, enum message type, const char *user,
                      const struct buffer *behind)
{
    struct message_user u = {0};
    snprintf(u.name, sizeof(u.name), "%s", user);
    send_frame(&w->admin, type, 0, BYTES(&u, sizeof(u)),
               behind ? buffer_bytes(behind) : BYTES_NONE);
}

static void ask_for_secret(struct keeper_world *w, const uint8_t uuid[16],
                           const struct buffer *wrapped, const char *user)
{
    _buffer_ struct buffer body = {0};
    assert_int_equal(buffer_append(&body, uuid, 16), 0);
    assert_int_equal(buffer_append(&body, wrapped->data, wrapped->size), 0);
    send_user(w, MESSAGE_UNWRAP, user, &body);
}

/* The end of the chain. */
static void expect_last_change(struct keeper_world *w, uint64_t sequence, const char *one,
                               const char *other)
{
    _store_record_ struct store_record r = {0};
    assert_int_equal(store_audit_list(w->b.store, 0, true, NULL, &r, 1, NULL), 1);
    assert_int_equal(r.sequence, sequence);
    assert_non_null(memmem(r.text.data, r.text.size, one, strlen(one)));
    assert_non_null(memmem(r.text.data, r.text.size, other, strlen(other)));
}

static void secrets_are_wrapped_and_unwrapped(void **state)
{
    struct keeper_world *w = *state;
    uint8_t uuid[16];
    _secret_ struct secret *s = volume_secret(1);
    _buffer_ struct buffer wrapped = {0};
    struct bytes rest;
    volume_uuid(uuid, 1);
    send_frame(&w->admin, MESSAGE_WRAP, 0, BYTES_OF(uuid), secret_bytes(s));
    expect_result(w, 0, &rest);
    assert_int_equal(rest.size, KEK_WRAPPED_SIZE(VOLUME_SECRET_SIZE));
    assert_null(memmem(rest.data, rest.size, secret_data(s), VOLUME_SECRET_SIZE));
    assert_int_equal(buffer_append(&wrapped, rest.data, rest.size), 0);
    ask_for_secret(w, uuid, &wrapped, "alice");
    expect_result(w, 0, &rest);
    assert_true(bytes_equal(rest, secret_bytes(s)));
    expect_last_change(w, 1, "\"action\":\"secret.export\"", "\"user\":\"alice\"");
    uuid[0]++; /* as that of another volume it does not open */
    ask_for_secret(w, uuid, &wrapped, "alice");
    expect_result(w, -EBADMSG, &rest);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 1);
}

static void what_cannot_be_recorded_is_not_unwrapped(void **state)
{
    struct keeper_world *w = *state;
    struct store_volume v = {0};
    uint8_t uuid[16];
    struct bytes rest;
    add_volume(w, 1, (struct store_volume){0});
    volume_uuid(uuid, 1);
    assert_int_equal(store_volume_get(w->b.store, uuid, &v, NULL), 0);
    sqlite_run("CREATE TRIGGER refuse BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END");
    ask_for_secret(w, uuid, &v.wrapped, "alice");
    assert_true(expect_failure(w, &rest) < 0);
    assert_int_equal(rest.size, 0);
    send_user(w, MESSAGE_REWRAP, "alice", NULL);
    assert_true(expect_failure(w, &rest) < 0);
    sqlite_run("DROP TRIGGER refuse");
    expect_service(w, 0);
    store_volume_free(&v);
}

static void who_asks_must_have_a_name(void **state)
{
    struct keeper_world *w = *state;
    static uint8_t endless[sizeof(struct message_user)], nobody[sizeof(struct message_user)];
    memset(endless, 'a', sizeof(endless));
    const struct bytes names[] = {BYTES_OF(endless), BYTES_OF(nobody)};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        send_frame(&w->admin, MESSAGE_REWRAP, 0, names[i], BYTES_NONE);
        expect_end(&w->admin);
        keeper_stop(w);
        keeper_start(w);
    }
}

static void an_administration_out_of_place_is_given_up(void **state)
{
    struct keeper_world *w = *state;
    static const uint8_t bytes[17];
    add_volume(w, 1, (struct store_volume){0});
    static const enum message types[] = {
        MESSAGE_WRAP,      MESSAGE_REWRAP,   MESSAGE_REWRAP_STATE, MESSAGE_CHECKPOINT,
        MESSAGE_SEAL_KEYS, MESSAGE_DECISION, MESSAGE_CONNECTION};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        send_frame(&w->admin, types[i], 0, BYTES_OF(bytes), BYTES_NONE);
        expect_end(&w->admin);
        expect_service(w, 0);
        keeper_stop(w);
        keeper_start(w);
    }
}

/* ---- all is wrapped anew ---- */
static struct message_rewrap expect_rewrap(struct keeper_world *w)
{
    struct message_rewrap m;
    struct bytes rest;
    expect_result(w, 0, &rest);
    assert_int_equal(rest.size, sizeof(m));
    memcpy(&m, rest.data, sizeof(m));
    return m;
}

/* By an administrator: with a seal. */
static char *renaming(struct keeper_world *w, uint8_t n)
{
    _store_volume_ struct store_volume v = {0};
    struct error err = {0};
    char seal[2 * STORE_SEAL_SIZE + 1], *sql;
    uint8_t uuid[16];
    volume_uuid(uuid, n);
    assert_ok(store_volume_get(w->b.store, uuid, &v, &err));
    snprintf(v.name, sizeof(v.name), "a");
    assert_ok(volume_seal(&v, w->b.seals, &err));
    hex_encode(BYTES_OF(v.seal), seal);
    assert_true(asprintf(&sql,
                         "CREATE TRIGGER rename AFTER UPDATE OF wrapped ON volume WHEN new.name = "
                         "'volume-1' BEGIN UPDATE volume SET name = 'a', seal = x'%s' WHERE name = "
                         "'volume-%u'; END",
                         seal, n) > 0);
    return sql;
}

static struct message_rewrap look(struct keeper_world *w)
{
    send_frame(&w->admin, MESSAGE_REWRAP_STATE, 0, BYTES_NONE, BYTES_NONE);
    return expect_rewrap(w);
}

static struct message_rewrap begin(struct keeper_world *w)
{
    send_user(w, MESSAGE_REWRAP, "alice", NULL);
    struct message_rewrap m = expect_rewrap(w);
    assert_int_equal(m.state, REWRAP_RUNNING);
    return m;
}

/* How it ended. */
static struct message_rewrap watch(struct keeper_world *w)
{
    uint64_t until = clock_now() + PATIENCE;
    struct message_rewrap m = look(w);
    while (m.state == REWRAP_RUNNING && clock_now() < until) {
        usleep(2000);
        m = look(w);
    }
    return m;
}

static void assert_counts(const struct message_rewrap *m, uint32_t done, uint32_t already,
                          uint32_t failed)
{
    assert_int_equal(m->counts.done, done);
    assert_int_equal(m->counts.already, already);
    assert_int_equal(m->counts.failed, failed);
}

/* `count` volumes, whose key is not the newest any more. */
static void make_old(struct keeper_world *w, uint8_t count)
{
    struct error err = {0};
    for (uint8_t i = 1; i <= count; i++)
        add_volume(w, i, (struct store_volume){0});
    keeper_stop(w);
    unlink("new.kek");
    assert_ok(kek_create_file("new.kek", &err));
    w->config.keks[0] = (char *)"file:new.kek";
    w->config.keks[1] = (char *)"file:" KEK_FILE;
    w->config.kek_count = 2;
    keeper_start(w);
}

/* As an older generation does, of what a newer one has wrapped anew. */
static void seal_by_the_old_key(struct keeper_world *w, uint8_t n)
{
    _store_volume_ struct store_volume v = {0};
    struct error err = {0};
    uint8_t uuid[16];
    volume_uuid(uuid, n);
    assert_ok(store_begin(w->b.store, &err));
    assert_ok(store_volume_get(w->b.store, uuid, &v, &err));
    assert_ok(volume_seal(&v, w->b.seals, &err));
    assert_ok(store_volume_update(w->b.store, &v, &err));
    assert_ok(store_commit(w->b.store, &err));
}

static void all_is_wrapped_anew_while_guests_are_served(void **state)
{
    struct keeper_world *w = *state;
    enum { VOLUMES = 100 };
    make_old(w, VOLUMES);
    sqlite_run("UPDATE volume SET wrapped = x'00' WHERE name = 'volume-7'");
    /* What was changed past the broker is not sealed by this. */
    sqlite_run("UPDATE volume SET approval = 1 WHERE name = 'volume-8'");
    /* Someone gives the last one by name the name of the first, when that is wrapped already. */
    _free_ char *rename = renaming(w, 99);
    sqlite_run(rename);
    expect_service(w, 0); /* by the old key */
    struct message_rewrap m = begin(w);
    assert_int_equal(m.total, VOLUMES);
    for (int i = 0; i < 20; i++) {
        uint64_t c = accept_connection(w, 0);
        tell_decision(w, 0, c, 1, true);
        struct frame f;
        assert_int_equal(channel_wait(&w->appraiser[0], &f, clock_now() + PATIENCE, NULL), 0);
        if (f.type == MESSAGE_STALE) { /* rewrapped in between: told again */
            tell_decision(w, 0, c, 1, true);
            expect_frame(&w->appraiser[0], MESSAGE_DECIDED, c);
        }
        expect_frame(&w->front[0], MESSAGE_ANSWER, c);
    }
    m = watch(w);
    assert_int_equal(m.state, REWRAP_FINISHED);
    assert_counts(&m, VOLUMES - 2, 0, 2);
    assert_true(file_holds("keeper.log", "name=volume-7 ", 14));
    assert_true(file_holds("keeper.log", "name=volume-8 ", 14));
    seal_by_the_old_key(w, 3);
    begin(w);
    m = watch(w);
    assert_counts(&m, 1, VOLUMES - 3, 2);
    expect_last_change(w, 25, "\"action\":\"vault.rewrapped\"",
                       "\"detail\":\"done 1, already 97, failed 2\"");
    /* Without the old key, everything still opens. */
    keeper_stop(w);
    w->config.kek_count = 1;
    keeper_start(w);
    expect_service(w, 0);
    uint64_t c = accept_connection(w, 1);
    tell_decision(w, 1, c, VOLUMES, true);
    expect_secret(w, 1, c, VOLUMES);
}

/* All in one write: the keeper has them before its first step. */
static void while_it_rewraps_everything_else_is_answered(void **state)
{
    struct keeper_world *w = *state;
    static const struct message_user alice = {"alice"}, bob = {"bob"};
    const struct bytes by_alice = BYTES(&alice, sizeof(alice)), by_bob = BYTES(&bob, sizeof(bob));
    _secret_ struct secret *s = volume_secret(1);
    _store_volume_ struct store_volume v = {0};
    uint8_t uuid[16];
    struct bytes rest;
    volume_uuid(uuid, 1);
    make_old(w, 20);
    assert_int_equal(store_volume_get(w->b.store, uuid, &v, NULL), 0);
    assert_int_equal(look(w).state, REWRAP_NONE);
    const struct bytes wrap[] = {BYTES_OF(uuid), secret_bytes(s)};
    const struct bytes unwrap[] = {by_bob, BYTES_OF(uuid), buffer_bytes(&v.wrapped)};
    assert_int_equal(channel_queue(&w->admin, MESSAGE_REWRAP, 0, &by_alice, 1, NULL), 0);
    assert_int_equal(channel_queue(&w->admin, MESSAGE_REWRAP_STATE, 0, NULL, 0, NULL), 0);
    assert_int_equal(channel_queue(&w->admin, MESSAGE_REWRAP, 0, &by_bob, 1, NULL), 0);
    assert_int_equal(channel_queue(&w->admin, MESSAGE_WRAP, 0, wrap, 2, NULL), 0);
    assert_int_equal(channel_queue(&w->admin, MESSAGE_UNWRAP, 0, unwrap, 3, NULL), 0);
    assert_int_equal(channel_send(&w->admin, MESSAGE_CHECKPOINT, 0, NULL, 0, NULL), 0);
    struct message_rewrap begun = expect_rewrap(w), running = expect_rewrap(w);
    assert_memory_equal(&begun, &running, sizeof(begun));
    assert_int_equal(running.state, REWRAP_RUNNING);
    assert_int_equal(running.total, 20);
    assert_counts(&running, 0, 0, 0);
    assert_string_equal(running.user.name, "alice");
    assert_true(running.begun > 0 && running.ended == 0);
    struct message_result busy = expect_result(w, -EALREADY, &rest);
    assert_non_null(strstr(busy.text, "alice"));
    assert_non_null(strstr(busy.hint, "encroot vault rewrap"));
    expect_result(w, 0, &rest);
    assert_true(rest.size > 0);
    expect_result(w, 0, &rest);
    assert_true(bytes_equal(rest, secret_bytes(s)));
    expect_frame(&w->gate, MESSAGE_SIGN_CHECKPOINT, 0);
    send_frame(&w->gate, MESSAGE_SIGNATURE, 0, BYTES_STR("signature"), BYTES_NONE);
    expect_result(w, 0, &rest);
    struct message_rewrap ended = watch(w);
    assert_int_equal(ended.state, REWRAP_FINISHED);
    assert_counts(&ended, 20, 0, 0);
    assert_string_equal(ended.id, begun.id);
    assert_true(ended.ended >= ended.begun);
    /* It is the id of the record of its beginning. */
    _store_record_ struct store_record r = {0};
    assert_int_equal(store_audit_find(w->b.store, begun.id, &r, NULL), 0);
    assert_non_null(memmem(r.text.data, r.text.size, "\"action\":\"vault.rewrap\"", 23));
    expect_last_change(w, 3, "\"action\":\"vault.rewrapped\"", "\"user\":\"alice\"");
}

/* The second step fails. */
static void a_rewrap_that_stopped_says_so_and_is_begun_again(void **state)
{
    struct keeper_world *w = *state;
    make_old(w, 20);
    sqlite_run("CREATE TRIGGER refuse BEFORE UPDATE OF wrapped ON volume "
               "WHEN (SELECT count(*) FROM volume WHERE uuid < new.uuid) = 18 "
               "BEGIN SELECT RAISE(ABORT, 'the disk is tired'); END");
    begin(w);
    struct message_rewrap m = watch(w);
    assert_int_equal(m.state, REWRAP_STOPPED);
    assert_counts(&m, 16, 0, 0);
    assert_true(m.why.code < 0 && m.ended > 0);
    assert_non_null(strstr(m.why.text, "the disk is tired"));
    expect_last_change(w, 2, "\"action\":\"vault.stopped\"",
                       "\"detail\":\"done 16, already 0, failed 0: ");
    sqlite_run("DROP TRIGGER refuse");
    begin(w);
    m = watch(w);
    assert_int_equal(m.state, REWRAP_FINISHED);
    assert_int_equal(m.why.code, 0);
    assert_counts(&m, 4, 16, 0);
}

static void a_rewrap_whose_end_is_not_recorded_has_not_finished(void **state)
{
    struct keeper_world *w = *state;
    make_old(w, 3);
    sqlite_run("CREATE TRIGGER refuse BEFORE INSERT ON audit "
               "WHEN CAST(new.text AS TEXT) LIKE '%vault.rewrapped%' "
               "BEGIN SELECT RAISE(ABORT, 'no'); END");
    begin(w);
    struct message_rewrap m = watch(w);
    assert_int_equal(m.state, REWRAP_STOPPED);
    assert_counts(&m, 3, 0, 0);
    assert_true(file_holds("keeper.log", "is not recorded", 15));
}

/* As when the generation drains: its administration ends before its pairs do, here before the
 * first step. */
static void it_stops_rewrapping_when_the_administration_has_ended(void **state)
{
    struct keeper_world *w = *state;
    make_old(w, 20);
    assert_int_equal(kill(w->keeper.pid, SIGSTOP), 0);
    send_user(w, MESSAGE_REWRAP, "alice", NULL);
    channel_free(&w->admin);
    assert_int_equal(kill(w->keeper.pid, SIGCONT), 0);
    expect_service(w, 0);
    expect_service(w, 1);
    for (int i = 0; i < PAIRS; i++) {
        channel_free(&w->appraiser[i]);
        channel_free(&w->front[i]);
    }
    assert_int_equal(played_wait(&w->keeper), 0);
    /* The releases came before or after its record. */
    struct store_record r[4] = {0};
    bool told = false;
    assert_int_equal(store_audit_list(w->b.store, 0, false, NULL, r, 4, NULL), 4);
    for (size_t i = 0; i < 4; i++) {
        told |= memmem(r[i].text.data, r[i].text.size, "vault.stopped", 13) &&
                memmem(r[i].text.data, r[i].text.size, "done 0, already 0, failed 0: ", 29);
        store_record_free(&r[i]);
    }
    assert_true(told);
}

static void a_checkpoint_is_signed_by_the_gate(void **state)
{
    struct keeper_world *w = *state;
    struct message_checkpoint asked, told;
    uint64_t sequence;
    uint8_t hash[32];
    struct bytes rest;
    add_volume(w, 1, (struct store_volume){0});
    expect_service(w, 0);
    assert_int_equal(store_audit_last(w->b.store, &sequence, hash, NULL), 0);
    send_frame(&w->admin, MESSAGE_CHECKPOINT, 0, BYTES_NONE, BYTES_NONE);
    struct bytes b = expect_frame(&w->gate, MESSAGE_SIGN_CHECKPOINT, 0);
    assert_int_equal(b.size, sizeof(asked));
    memcpy(&asked, b.data, sizeof(asked));
    assert_int_equal(asked.sequence, 1);
    assert_memory_equal(asked.hash, hash, 32);
    expect_service(w, 0); /* meanwhile */
    send_frame(&w->gate, MESSAGE_SIGNATURE, 0, BYTES_STR("signature"), BYTES_NONE);
    expect_result(w, 0, &rest);
    memcpy(&told, rest.data, sizeof(told));
    assert_memory_equal(&asked, &told, sizeof(told));
    assert_true(bytes_equal(BYTES(rest.data + sizeof(told), rest.size - sizeof(told)),
                            BYTES_STR("signature")));
}

static void a_checkpoint_that_is_not_signed_is_none(void **state)
{
    struct keeper_world *w = *state;
    struct bytes rest;
    send_frame(&w->admin, MESSAGE_CHECKPOINT, 0, BYTES_NONE, BYTES_NONE);
    expect_frame(&w->gate, MESSAGE_SIGN_CHECKPOINT, 0);
    send_frame(&w->gate, MESSAGE_SIGNATURE, 0, BYTES_NONE, BYTES_NONE);
    expect_result(w, -EKEYREJECTED, &rest);
    send_frame(&w->admin, MESSAGE_CHECKPOINT, 0, BYTES_NONE, BYTES_NONE);
    expect_frame(&w->gate, MESSAGE_SIGN_CHECKPOINT, 0);
    channel_free(&w->gate);
    expect_result(w, -EKEYREJECTED, &rest);
}

/* ---- ends ---- */
static void it_ends_when_nobody_is_left(void **state)
{
    struct keeper_world *w = *state;
    add_volume(w, 1, (struct store_volume){0});
    uint64_t c = accept_connection(w, 0);
    channel_free(&w->gate);
    channel_free(&w->admin);
    channel_free(&w->front[1]);
    channel_free(&w->appraiser[1]);
    tell_decision(w, 0, c, 1, true); /* what drains is served to its end */
    expect_secret(w, 0, c, 1);
    channel_free(&w->front[0]);
    channel_free(&w->appraiser[0]);
    assert_int_equal(played_wait(&w->keeper), 0);
}

static void it_ends_with_its_supervisor(void **state)
{
    struct keeper_world *w = *state;
    channel_free(&w->control);
    assert_int_equal(played_wait(&w->keeper), 0);
}

static void the_log_tells_decisions_and_no_secret(void **state) /* K5 */
{
    struct keeper_world *w = *state;
    _secret_ struct secret *s = volume_secret(1);
    add_volume(w, 1, (struct store_volume){0});
    expect_service(w, 0);
    uint64_t c = accept_connection(w, 0);
    tell_decision(w, 0, c, 1, false);
    struct message_answer a = expect_answer(w, 0, c, 403, "denied");
    assert_true(file_holds("keeper.log", "released", 8));
    assert_true(file_holds("keeper.log", "boot.kernel", 11));
    assert_true(file_holds("keeper.log", a.id, 32));
    assert_true(file_holds("keeper.log", "volume-1", 8));
    assert_false(file_holds("keeper.log", secret_data(s), 8));
    assert_false(file_holds("keeper.log", "5e5e5e5e", 8));
}

#define T(f) cmocka_unit_test_setup_teardown(f, keeper_set_up, keeper_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_release_goes_to_the_front_and_has_a_record),
        T(refusals_have_their_codes),
        T(policies_are_told_with_their_edition),
        T(a_policy_that_nobody_sealed_is_none),
        T(a_policy_that_is_put_back_is_told_again),
        T(a_policy_that_cannot_be_read_is_told_as_that),
        T(a_policy_that_changed_is_told_and_the_connection_decided_after),
        T(an_open_connection_is_not_forgotten),
        T(a_connection_that_is_long_over_is_refused),
        T(policies_do_not_pile_up),
        T(an_appraiser_that_does_not_read_is_not_listened_to),
        T(a_full_batch_leaves_nothing_behind),
        T(a_decision_that_overtakes_the_gate_waits_for_it),
        T(much_at_once_is_decided_in_few_transactions),
        T(a_failing_store_is_503_and_comes_back),
        T(what_writes_nothing_shows_no_recovery),
        T(another_pairs_connection_is_not_answered),
        T(a_connection_that_never_was_is_not_answered),
        T(a_connection_without_a_number_is_not_answered),
        T(a_second_decision_is_not_answered),
        T(two_decisions_at_once_are_both_dropped),
        T(an_appraiser_out_of_place_is_given_up),
        T(a_front_has_nothing_to_say),
        T(without_a_gate_that_keeps_to_the_rules_nothing_goes),
        T(secrets_are_wrapped_and_unwrapped),
        T(what_cannot_be_recorded_is_not_unwrapped),
        T(who_asks_must_have_a_name),
        T(an_administration_out_of_place_is_given_up),
        T(all_is_wrapped_anew_while_guests_are_served),
        T(while_it_rewraps_everything_else_is_answered),
        T(a_rewrap_that_stopped_says_so_and_is_begun_again),
        T(a_rewrap_whose_end_is_not_recorded_has_not_finished),
        T(it_stops_rewrapping_when_the_administration_has_ended),
        T(a_checkpoint_is_signed_by_the_gate),
        T(a_checkpoint_that_is_not_signed_is_none),
        T(it_ends_when_nobody_is_left),
        T(it_ends_with_its_supervisor),
        T(the_log_tells_decisions_and_no_secret),
    };
    int fd;
    signal(SIGPIPE, SIG_IGN);
    if (metrics_create(&fd, NULL) < 0)
        return 1;
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
