/* The decision over a store: each outcome, in batches, with a store that fails in the middle. */
#include "unit.h"
#include "broker_store.h"
#include "crypto/tls.h"

struct world {
    struct broker_store b;
    struct decider decider;
    time_t now;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    broker_store_remove();
    broker_store_open(&w->b);
    w->decider = (struct decider){.store = w->b.store,
                                  .ring = &w->b.ring,
                                  .seals = w->b.seals,
                                  .broker = "test",
                                  .keep = EVIDENCE_KEEP_REFUSED,
                                  .approval_seconds = 600};
    w->now = STORE_NOW;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    broker_store_verify(&w->b, NULL, NULL); /* whatever a test did: the chain is whole */
    broker_store_close(&w->b);
    free(w);
    return 0;
}

static void add(struct world *w, uint8_t n, struct store_volume like)
{
    like.enabled = true;
    broker_store_add(&w->b, n, like, BYTES_STR("policy"));
}

/* ---- what an appraiser says ---- */
static void finish(struct decision_case *c)
{
    c->said.passed = findings_pass(&c->findings);
    memset(c->said.request_sha256, 7, 32);
    snprintf(c->peer, sizeof(c->peer), "192.0.2.1 port 40000");
}

static struct decision_case passing(struct world *w, uint8_t volume)
{
    struct decision_case c = {.connection = 1, .said = {.readable = 1, .platform = "virtcca"}};
    uint8_t uuid[16];
    struct error err = {0};
    _store_volume_ struct store_volume v = {0};
    volume_uuid(c.said.volume, volume);
    volume_uuid(uuid, volume);
    if (store_volume_get(w->b.store, uuid, &v, &err) == 0)
        c.said.edition = broker_store_edition(&w->b, volume);
    memset(c.said.attester, 0xa7, sizeof(c.said.attester));
    finding_add(&c.findings, "token.signature", VERDICT_PASS, NULL, NULL);
    finish(&c);
    return c;
}

static struct decision_case rejected(struct world *w, uint8_t volume)
{
    struct decision_case c = passing(w, volume);
    finding_add(&c.findings, "boot.kernel", VERDICT_REJECT, "one", "another");
    assert_int_equal(buffer_append(&c.evidence, "evidence", 8), 0);
    finish(&c);
    return c;
}

static struct decision_case unreadable(void)
{
    struct decision_case c = {.connection = 1};
    finding_add(&c.findings, "request", VERDICT_REJECT, "readable evidence", "nonsense");
    finish(&c);
    return c;
}

static int decide(struct world *w, struct decision_case *cases, size_t n)
{
    struct error err = {0};
    return decide_all(&w->decider, cases, n, w->now, &err);
}

/* One case, to its end; its first rejection is `reason` (NULL: none). */
static void assert_outcome(struct world *w, struct decision_case c, enum outcome expected,
                           const char *reason)
{
    assert_int_equal(decide(w, &c, 1), 0);
    const struct finding *why = findings_first_reject(&c.findings);
    if (why)
        assert_string_equal(why->check, reason ? reason : "nothing");
    else
        assert_null(reason);
    assert_int_equal(c.outcome, expected);
    assert_int_equal(c.secret != NULL, expected == OUTCOME_RELEASED);
    decision_case_free(&c);
}

static struct audit_state end_of(struct world *w)
{
    struct audit_state s = {0};
    assert_int_equal(store_audit_last(w->b.store, &s.sequence, s.hash, NULL), 0);
    return s;
}

/* ---- outcomes ---- */
static void a_passing_guest_gets_the_secret_of_its_volume_and_a_record(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){0});
    add(w, 2, (struct store_volume){0});
    struct decision_case c = passing(w, 2);
    _secret_ struct secret *expected = volume_secret(2);
    assert_int_equal(decide(w, &c, 1), 0);
    assert_int_equal(c.outcome, OUTCOME_RELEASED);
    assert_true(secret_equal(c.secret, expected));
    assert_int_equal(c.sequence, 1);
    assert_string_equal(c.name, "volume-2");
    assert_int_equal(strlen(c.id), 32);
    _store_record_ struct store_record r = {0};
    struct error err = {0};
    assert_ok(store_audit_find(w->b.store, c.id, &r, &err));
    assert_true(r.granted && r.has_volume);
    assert_memory_equal(r.volume, c.said.volume, 16);
    assert_int_equal(r.time, w->now);
    assert_int_equal(r.evidence.size, 0);
    /* K5: the secret is nowhere in it. */
    assert_null(memmem(r.text.data, r.text.size, "5e5e5e5e", 8));
    _audit_record_ struct audit_record parsed = {0};
    assert_ok(audit_parse(&parsed, buffer_bytes(&r.text), "record", &err));
    assert_string_equal(parsed.broker, "test");
    assert_string_equal(parsed.peer, "192.0.2.1 port 40000");
    assert_string_equal(parsed.id, c.id);
    decision_case_free(&c);
}

/* A flood of forgeries does not fill the disk, and is no way to keep others out. */
static void refusals_without_room_are_not_decided(void **state)
{
    struct world *w = *state;
    struct allowance room = allowance_of(8 * 2048, 86400, 1); /* at once: of two, not of three */
    add(w, 1, (struct store_volume){0});
    w->decider.refusals = &room;
    assert_outcome(w, unreadable(), OUTCOME_UNREADABLE, "request");
    assert_outcome(w, rejected(w, 1), OUTCOME_DENIED, "boot.kernel");
    for (int i = 0; i < 2; i++) {
        assert_outcome(w, rejected(w, 1), OUTCOME_SHED, "boot.kernel");
        assert_outcome(w, unreadable(), OUTCOME_SHED, "request");
    }
    assert_int_equal(outcome_answers[OUTCOME_SHED].status, 503);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 2);
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
    sqlite_run("UPDATE volume SET enabled = 0");
    assert_outcome(w, passing(w, 1), OUTCOME_DENIED, "volume.seal");
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 4);
    w->decider.refusals = NULL;
}

/* Of three volumes one is damaged: its guest is told 503, and nobody else. */
static void damaged_data_holds_up_nobody_else(void **state)
{
    struct world *w = *state;
    for (uint8_t n = 1; n <= 3; n++)
        add(w, n, (struct store_volume){0});
    struct decision_case cases[] = {passing(w, 1), passing(w, 2), passing(w, 3), rejected(w, 1)};
    sqlite_run("UPDATE volume SET enabled = 7 WHERE name = 'volume-2'");
    assert_int_equal(decide(w, cases, 4), -EUCLEAN);
    assert_int_equal(end_of(w).sequence, 3);
    static const enum outcome expected[] = {OUTCOME_RELEASED, OUTCOME_UNAVAILABLE, OUTCOME_RELEASED,
                                            OUTCOME_DENIED};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(cases[i].outcome, expected[i]);
        assert_int_equal(cases[i].secret != NULL, expected[i] == OUTCOME_RELEASED);
        assert_int_equal(cases[i].sequence != 0, expected[i] != OUTCOME_UNAVAILABLE);
        decision_case_free(&cases[i]);
    }
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 3);
}

/* Else whoever has a volume's data damaged, or the disk full, has the others' refusals shed. */
static void what_was_not_recorded_spent_nothing(void **state)
{
    struct world *w = *state;
    struct allowance refusals = allowance_of(8 * 1024, 86400, 1); /* at once: of one, not of two */
    struct allowance room = allowance_of(8 * 8, 86400, 1);        /* of one, too */
    const struct allowance whole = refusals;
    w->decider.refusals = &refusals;
    w->decider.room = &room;
    add(w, 1, (struct store_volume){0});
    add(w, 2, (struct store_volume){0});
    sqlite_run("CREATE TRIGGER full BEFORE INSERT ON audit "
               "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
    struct decision_case c = rejected(w, 1);
    assert_true(decide(w, &c, 1) < 0);
    assert_int_equal(refusals.left, whole.left);
    assert_int_equal(room.left, room.most);
    decision_case_free(&c);
    sqlite_run("DROP TRIGGER full");
    struct decision_case cases[] = {rejected(w, 1), passing(w, 2)};
    sqlite_run("UPDATE volume SET enabled = 7 WHERE name = 'volume-2'");
    assert_int_equal(decide(w, cases, 2), -EUCLEAN);
    assert_int_equal(cases[0].outcome, OUTCOME_DENIED);
    assert_int_equal(cases[1].outcome, OUTCOME_UNAVAILABLE);
    assert_int_equal(room.left, 0); /* its evidence is kept */
    decision_case_free(&cases[0]);
    decision_case_free(&cases[1]);
    assert_outcome(w, rejected(w, 1), OUTCOME_SHED, "boot.kernel");
    w->decider.refusals = w->decider.room = NULL;
}

static void a_rejection_is_denied_and_its_evidence_kept(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){0});
    struct decision_case c = rejected(w, 1);
    assert_int_equal(decide(w, &c, 1), 0);
    assert_int_equal(c.outcome, OUTCOME_DENIED);
    assert_null(c.secret);
    _store_record_ struct store_record r = {0};
    struct error err = {0};
    assert_ok(store_audit_find(w->b.store, c.id, &r, &err));
    assert_false(r.granted);
    assert_true(bytes_equal(buffer_bytes(&r.evidence), BYTES_STR("evidence")));
    decision_case_free(&c);
}

static void evidence_is_kept_as_configured_whatever_the_appraiser_sends(void **state)
{
    struct world *w = *state;
    static const struct {
        enum evidence_keep keep;
        bool granted, kept;
    } cases[] = {{EVIDENCE_KEEP_NONE, false, false},
                 {EVIDENCE_KEEP_NONE, true, false},
                 {EVIDENCE_KEEP_REFUSED, true, false},
                 {EVIDENCE_KEEP_ALL, true, true},
                 {EVIDENCE_KEEP_ALL, false, true}};
    add(w, 1, (struct store_volume){0});
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct decision_case c = cases[i].granted ? passing(w, 1) : rejected(w, 1);
        c.evidence.size = 0;
        assert_int_equal(buffer_append(&c.evidence, "evidence", 8), 0);
        w->decider.keep = cases[i].keep;
        assert_int_equal(decide(w, &c, 1), 0);
        _store_record_ struct store_record r = {0};
        assert_int_equal(store_audit_find(w->b.store, c.id, &r, NULL), 0);
        assert_int_equal(r.evidence.size, cases[i].kept ? 8 : 0);
        decision_case_free(&c);
    }
}

static void evidence_is_kept_while_there_is_room(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){0});
    struct allowance room = allowance_of(16 * 8, 16, 0); /* 8 bytes each: two */
    static const bool kept[] = {true, true, false, true, false};
    w->decider.room = &room;
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        struct error err = {0};
        struct decision_case c = rejected(w, 1);
        if (i == 3)
            allowance_refill(&room, SECONDS(1) + 1);
        assert_ok(decide_all(&w->decider, &c, 1, w->now, &err));
        assert_int_equal(c.outcome, OUTCOME_DENIED);
        _store_record_ struct store_record r = {0};
        assert_ok(store_audit_find(w->b.store, c.id, &r, &err));
        assert_int_equal(r.evidence.size, kept[i] ? 8 : 0);
        decision_case_free(&c);
    }
    allowance_refill(&room, UINT64_MAX);
    assert_int_equal(room.left, room.most);
}

static void what_was_not_readable_is_recorded_without_a_volume(void **state)
{
    struct world *w = *state;
    struct decision_case c = unreadable();
    assert_int_equal(decide(w, &c, 1), 0);
    assert_int_equal(c.outcome, OUTCOME_UNREADABLE);
    _store_record_ struct store_record r = {0};
    assert_int_equal(store_audit_find(w->b.store, c.id, &r, NULL), 0);
    assert_false(r.has_volume);
    decision_case_free(&c);
    assert_int_equal(end_of(w).sequence, 1);
}

static void an_unknown_volume_is_denied_and_recorded(void **state)
{
    struct world *w = *state;
    assert_outcome(w, passing(w, 9), OUTCOME_DENIED, "volume.known");
    /* It was there when the guest was appraised, and is removed since. */
    struct decision_case c = passing(w, 9);
    c.said.edition = 12345;
    assert_outcome(w, c, OUTCOME_DENIED, "volume.known");
    assert_int_equal(end_of(w).sequence, 2);
}

static void a_disabled_volume_is_denied(void **state)
{
    struct world *w = *state;
    broker_store_add(&w->b, 1, (struct store_volume){0}, BYTES_STR("policy"));
    assert_outcome(w, passing(w, 1), OUTCOME_DENIED, "volume.enabled");
}

static void the_answers_say_nothing_of_reasons(void **state) /* K4 */
{
    (void)state;
    assert_int_equal(outcome_answers[OUTCOME_DENIED].status, 403);
    assert_string_equal(outcome_answers[OUTCOME_DENIED].code, "denied");
    assert_int_equal(outcome_answers[OUTCOME_PENDING].status, 403);
    assert_int_equal(outcome_answers[OUTCOME_UNREADABLE].status, 400);
    assert_int_equal(outcome_answers[OUTCOME_UNAVAILABLE].status, 503);
    assert_int_equal(outcome_answers[OUTCOME_RELEASED].status, 200);
}

/* ---- policies that changed ---- */
static void a_verdict_by_an_older_policy_is_stale_and_not_recorded(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){0});
    struct decision_case c = passing(w, 1);
    broker_store_set_policy(&w->b, 1, BYTES_STR("new"), BYTES_STR("new"));
    assert_outcome(w, c, OUTCOME_STALE, NULL);
    assert_int_equal(end_of(w).sequence, 0);
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
}

static void a_volume_that_came_since_makes_the_verdict_stale(void **state)
{
    struct world *w = *state;
    struct decision_case c = passing(w, 1);
    assert_true(c.said.edition == 0);
    add(w, 1, (struct store_volume){0});
    assert_outcome(w, c, OUTCOME_STALE, NULL);
}

/* Its revisions begin anew, and its policy may be another. */
static void a_volume_that_was_made_anew_is_not_the_old_one(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    uint8_t uuid[16];
    volume_uuid(uuid, 1);
    add(w, 1, (struct store_volume){0});
    struct decision_case c = passing(w, 1);
    assert_ok(store_begin(w->b.store, &err));
    assert_ok(store_volume_remove(w->b.store, uuid, &err));
    assert_ok(store_commit(w->b.store, &err));
    add(w, 1, (struct store_volume){0});
    assert_outcome(w, c, OUTCOME_STALE, NULL);
}

/* ---- windows and rates ---- */
static void a_window_is_open_from_its_first_to_its_last_second(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){.not_before = STORE_NOW, .not_after = STORE_NOW + 10});
    static const struct {
        time_t at;
        bool open;
    } cases[] = {{-1, false}, {0, true}, {10, true}, {11, false}, {86400, false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        w->now = STORE_NOW + cases[i].at;
        assert_outcome(w, passing(w, 1), cases[i].open ? OUTCOME_RELEASED : OUTCOME_DENIED,
                       cases[i].open ? NULL : "volume.window");
    }
}

static void a_rate_counts_the_releases_of_the_same_batch(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){.rate_count = 2, .rate_seconds = 60});
    add(w, 2, (struct store_volume){0});
    struct decision_case c[] = {passing(w, 1), rejected(w, 1), passing(w, 2),
                                passing(w, 1), passing(w, 1),  passing(w, 2)};
    static const enum outcome expected[] = {OUTCOME_RELEASED, OUTCOME_DENIED, OUTCOME_RELEASED,
                                            OUTCOME_RELEASED, OUTCOME_DENIED, OUTCOME_RELEASED};
    assert_int_equal(decide(w, c, ARRAY_SIZE(c)), 0);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        assert_int_equal(c[i].outcome, expected[i]);
    assert_string_equal(findings_first_reject(&c[4].findings)->check, "volume.rate");
    for (size_t i = 0; i < ARRAY_SIZE(c); i++)
        decision_case_free(&c[i]);
}

static void a_rate_forgets_after_its_seconds_and_not_before(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){.rate_count = 1, .rate_seconds = 60});
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
    w->now += 59;
    assert_outcome(w, passing(w, 1), OUTCOME_DENIED, "volume.rate");
    w->now += 1;
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
}

/* The clock goes back a day: the chain goes on, and the limit becomes no looser. */
static void a_clock_that_goes_back_breaks_nothing(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){.rate_count = 1, .rate_seconds = 60});
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
    w->now -= 86400;
    assert_outcome(w, passing(w, 1), OUTCOME_DENIED, "volume.rate");
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 2);
}

/* ---- approval ---- */
static const struct store_volume by_hand = {.approval = STORE_APPROVAL_MANUAL};

static void get_request(struct world *w, struct store_request *q)
{
    uint8_t uuid[16], attester[STORE_ATTESTER_SIZE];
    volume_uuid(uuid, 1);
    memset(attester, 0xa7, sizeof(attester));
    assert_int_equal(store_request_find(w->b.store, uuid, attester, w->now, q, NULL), 0);
}

/* As the administration does. */
static void put_request(struct world *w, struct store_request *q, enum store_request_state s)
{
    struct error err = {0};
    q->state = s;
    q->expires = w->now + 600;
    snprintf(q->decided_by, sizeof(q->decided_by), "the operator");
    assert_ok(request_seal(q, w->b.seals, &err));
    assert_ok(store_begin(w->b.store, &err));
    assert_ok(store_request_put(w->b.store, q, &err));
    assert_ok(store_commit(w->b.store, &err));
}

static void set_request(struct world *w, enum store_request_state s)
{
    struct store_request q;
    get_request(w, &q);
    put_request(w, &q, s);
}

static void an_approval_is_for_one_release(void **state)
{
    struct world *w = *state;
    struct store_request q;
    add(w, 1, by_hand);
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
    w->now += 30;
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
    get_request(w, &q);
    assert_int_equal(q.state, STORE_REQUEST_PENDING);
    assert_int_equal(q.count, 2);
    assert_int_equal(q.created, STORE_NOW);
    assert_int_equal(q.seen, STORE_NOW + 30);
    assert_string_equal(q.peer, "192.0.2.1 port 40000");
    set_request(w, STORE_REQUEST_APPROVED);
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
}

static void of_one_batch_one_uses_the_approval(void **state)
{
    struct world *w = *state;
    add(w, 1, by_hand);
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
    set_request(w, STORE_REQUEST_APPROVED);
    struct decision_case c[] = {passing(w, 1), passing(w, 1)};
    assert_int_equal(decide(w, c, 2), 0);
    assert_int_equal(c[0].outcome, OUTCOME_RELEASED);
    assert_int_equal(c[1].outcome, OUTCOME_PENDING);
    decision_case_free(&c[0]);
    decision_case_free(&c[1]);
}

static void an_approval_is_for_one_attester_and_expires(void **state)
{
    struct world *w = *state;
    add(w, 1, by_hand);
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
    set_request(w, STORE_REQUEST_APPROVED);
    struct decision_case other = passing(w, 1);
    other.said.attester[0] = 1;
    assert_outcome(w, other, OUTCOME_PENDING, "volume.approval");
    w->now += 600;
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
}

static void a_denial_holds_until_it_expires(void **state)
{
    struct world *w = *state;
    add(w, 1, by_hand);
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
    set_request(w, STORE_REQUEST_DENIED);
    w->now += 599;
    assert_outcome(w, passing(w, 1), OUTCOME_DENIED, "volume.approval");
    w->now += 1;
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
}

/* Who does not pass bothers no operator, and uses no approval. */
static void what_is_rejected_asks_for_no_approval(void **state)
{
    struct world *w = *state;
    struct store_request q, list[4];
    add(w, 1, by_hand);
    assert_outcome(w, rejected(w, 1), OUTCOME_DENIED, "boot.kernel");
    assert_int_equal(store_request_list(w->b.store, true, w->now, list, 4, NULL), 0);
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
    set_request(w, STORE_REQUEST_APPROVED);
    assert_outcome(w, rejected(w, 1), OUTCOME_DENIED, "boot.kernel");
    get_request(w, &q);
    assert_int_equal(q.state, STORE_REQUEST_APPROVED);
}

/* ---- secrets that cannot be had ---- */
static void a_damaged_secret_is_not_released_and_recorded(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){0});
    add(w, 2, (struct store_volume){0});
    /* The secret of one volume in the place of another's: K3. */
    struct error err = {0};
    uint8_t uuid[16];
    _store_volume_ struct store_volume other = {0};
    volume_uuid(uuid, 2);
    assert_ok(store_volume_get(w->b.store, uuid, &other, &err));
    broker_store_set_wrapped(&w->b, 1, buffer_bytes(&other.wrapped));
    struct decision_case c = passing(w, 1);
    assert_int_equal(decide(w, &c, 1), 0);
    assert_int_equal(c.outcome, OUTCOME_UNAVAILABLE);
    assert_null(c.secret);
    assert_int_equal(c.sequence, 1);
    assert_string_equal(findings_first_reject(&c.findings)->check, "secret");
    decision_case_free(&c);
    assert_outcome(w, passing(w, 2), OUTCOME_RELEASED, NULL);
}

static void a_secret_that_cannot_be_had_uses_no_approval(void **state)
{
    struct world *w = *state;
    struct store_request q;
    add(w, 1, by_hand);
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
    set_request(w, STORE_REQUEST_APPROVED);
    broker_store_set_wrapped(&w->b, 1, BYTES("", 1));
    assert_outcome(w, passing(w, 1), OUTCOME_UNAVAILABLE, "secret");
    get_request(w, &q);
    assert_int_equal(q.state, STORE_REQUEST_APPROVED);
}

/* ---- a store that somebody else wrote to ---- */
static void what_was_changed_past_the_broker_releases_nothing(void **state)
{
    struct world *w = *state;
    static const char *const edits[] = {
        "enabled = 1 - enabled",
        "approval = 1 - approval",
        "rate_count = rate_count + 1",
        "rate_seconds = rate_seconds + 1",
        "not_before = not_before - 1",
        "not_after = not_after + 1",
        "name = 'other'",
        "revision = revision + 1",
        "effective_sha256 = zeroblob(32)",
        "sources_sha256 = randomblob(32)",
        "wrapped = (SELECT wrapped FROM volume WHERE name = 'volume-2')",
        "seal = zeroblob(40)",
        "seal = (SELECT seal FROM volume WHERE name = 'volume-2')",
    };
    const struct store_volume like = {
        .rate_count = 100, .rate_seconds = 10, .not_before = 5, .not_after = STORE_NOW * 2};
    add(w, 1, like);
    add(w, 2, like);
    uint8_t uuid[16];
    volume_uuid(uuid, 1);
    sqlite_run("CREATE TABLE copy AS SELECT * FROM volume WHERE name = 'volume-1'");
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
        char sql[256];
        assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
        snprintf(sql, sizeof(sql), "UPDATE volume SET %s WHERE name = 'volume-1'", edits[i]);
        sqlite_run(sql);
        assert_outcome(w, passing(w, 1), OUTCOME_DENIED, "volume.seal");
        sqlite_run(
            "UPDATE volume SET (name, enabled, approval, rate_count, rate_seconds, "
            "not_before, not_after, revision, wrapped, effective_sha256, sources_sha256, "
            "seal) = "
            "(SELECT name, enabled, approval, rate_count, rate_seconds, not_before, "
            "not_after, revision, wrapped, effective_sha256, sources_sha256, seal FROM copy) "
            "WHERE uuid = (SELECT uuid FROM copy)");
    }
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
}

/* What the keeper found when the policy was asked for, which the settings do not show. */
static void a_policy_changed_past_the_broker_is_refused_for_that(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){0});
    struct decision_case c = passing(w, 1);
    c.said.edition = EDITION_UNSEALED;
    assert_outcome(w, c, OUTCOME_DENIED, "volume.seal");
    c = passing(w, 1);
    c.said.edition = EDITION_UNREADABLE;
    assert_outcome(w, c, OUTCOME_UNAVAILABLE, "policy");
    c = passing(w, 1);
    c.said.edition = EDITION_NONE;
    assert_outcome(w, c, OUTCOME_STALE, NULL);
}

static void a_seal_under_an_unknown_key_is_none(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    struct kek_ring other = {.count = 1};
    unlink("other.kek");
    assert_ok(kek_create_file("other.kek", &err));
    assert_ok(kek_open(&other.keys[0], "file:other.kek", &err));
    _secret_ struct secret *theirs = seal_keys(&other), *ours = w->b.seals;
    add(w, 1, (struct store_volume){0});
    w->b.seals = theirs;
    add(w, 2, (struct store_volume){0});
    w->b.seals = TAKE_PTR(ours);
    assert_outcome(w, passing(w, 2), OUTCOME_UNAVAILABLE, "volume.seal");
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
    kek_ring_close(&other);
    unlink("other.kek");
}

static struct decision_case passing_of(struct world *w, uint8_t attester)
{
    struct decision_case c = passing(w, 1);
    memset(c.said.attester, attester, sizeof(c.said.attester));
    return c;
}

/* Each is a request that waits again, as if nobody had approved it. */
static void an_approval_that_nobody_gave_is_none(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *sql;
        enum store_request_state before;
        uint8_t attester; /* who asks then */
    } edits[] = {
        {"UPDATE request SET state = 1", STORE_REQUEST_PENDING, 0xa7},
        {"UPDATE request SET state = 1", STORE_REQUEST_DENIED, 0xa7},
        {"UPDATE request SET expires = expires + 1", STORE_REQUEST_APPROVED, 0xa7},
        {"UPDATE request SET state = 2", STORE_REQUEST_PENDING, 0xa7},
        {"UPDATE request SET decided_by = 'another'", STORE_REQUEST_APPROVED, 0xa7},
        {"UPDATE request SET peer = '192.0.2.9 port 9'", STORE_REQUEST_APPROVED, 0xa7},
        {"UPDATE request SET attester = "
         "x'1111111111111111111111111111111111111111111111111111111111"
         "111111'",
         STORE_REQUEST_APPROVED, 0x11},
    };
    add(w, 1, by_hand);
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
        struct store_request q;
        assert_outcome(w, passing_of(w, 0xa7), OUTCOME_PENDING, "volume.approval");
        set_request(w, edits[i].before);
        sqlite_run(edits[i].sql);
        assert_outcome(w, passing_of(w, edits[i].attester), OUTCOME_PENDING, "volume.seal");
        assert_int_equal(store_request_list(w->b.store, true, w->now, &q, 1, NULL), 1);
        assert_int_equal(q.state, STORE_REQUEST_PENDING);
        assert_string_equal(q.decided_by, "");
        put_request(w, &q, STORE_REQUEST_APPROVED);
        assert_outcome(w, passing_of(w, edits[i].attester), OUTCOME_RELEASED, NULL);
        sqlite_run("DELETE FROM request");
    }
}

/* Nor when the database takes its end for later than now. */
static void an_approval_ends_whatever_the_database_says(void **state)
{
    struct world *w = *state;
    add(w, 1, by_hand);
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
    set_request(w, STORE_REQUEST_APPROVED);
    sqlite_run("CREATE TABLE other (id TEXT PRIMARY KEY, volume, attester, state, peer, created, "
               "seen, expires, count, decided_by, seal); "
               "INSERT INTO other SELECT * FROM request; UPDATE other SET expires = "
               "CAST(expires AS TEXT); DROP TABLE request; ALTER TABLE other RENAME TO request");
    w->now += 601;
    struct decision_case c = passing(w, 1);
    assert_int_equal(decide(w, &c, 1), -EUCLEAN);
    assert_int_equal(c.outcome, OUTCOME_UNAVAILABLE);
    assert_null(c.secret);
    decision_case_free(&c);
}

/* ---- tables that somebody else made ---- */
static void remake_volumes(const char *then)
{
    char sql[512];
    snprintf(sql, sizeof(sql),
             "CREATE TABLE other AS SELECT * FROM volume; DROP TABLE volume; "
             "ALTER TABLE other RENAME TO volume; %s",
             then);
    sqlite_run(sql);
}

/* Nothing but the tables' keys made them one. */
static void of_two_volumes_of_one_uuid_none_is_released(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){0});
    struct decision_case c = passing(w, 1);
    remake_volumes("INSERT INTO volume SELECT * FROM volume");
    assert_int_equal(decide(w, &c, 1), -EUCLEAN);
    assert_int_equal(c.outcome, OUTCOME_UNAVAILABLE);
    assert_null(c.secret);
    decision_case_free(&c);
}

static void a_name_is_another_in_capitals_whatever_the_database_says(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    _store_volume_ struct store_volume v = {0};
    add(w, 1, (struct store_volume){0});
    remake_volumes("ALTER TABLE volume RENAME TO other; CREATE VIEW volume AS SELECT uuid, "
                   "name COLLATE NOCASE AS name, enabled, approval, rate_count, rate_seconds, "
                   "not_before, not_after, revision, created, changed, wrapped, effective_sha256, "
                   "sources_sha256, seal FROM other");
    assert_ok(store_volume_find(w->b.store, "volume-1", &v, &err));
    store_volume_free(&v);
    assert_int_equal(store_volume_find(w->b.store, "VOLUME-1", &v, &err), -EUCLEAN);
}

/* Text is larger than any number: each version comes behind each. */
static void reference_values_end_whatever_the_database_says(void **state)
{
    struct world *w = *state;
    struct error err = {0};
    struct store_values got[2] = {0};
    uint8_t uuid[16];
    add(w, 1, (struct store_volume){0});
    volume_uuid(uuid, 1);
    sqlite_run(
        "DROP TABLE reference_values; CREATE TABLE reference_values (volume, version, valid, "
        "created, label, text); INSERT INTO reference_values "
        "SELECT uuid, '1', 1, 1, 'a', x'7b7d' FROM volume");
    assert_int_equal(store_values_list(w->b.store, uuid, 0, got, 2, &err), 1);
    buffer_free(&got[0].text);
    assert_int_equal(store_values_list(w->b.store, uuid, 1, got, 2, &err), -EUCLEAN);
    assert_int_equal(store_values_heads(w->b.store, uuid, 1, got, 2, &err), -EUCLEAN);
}

/* ---- a store that fails ---- */
static void a_store_that_fails_in_the_middle_releases_nothing(void **state) /* K1 */
{
    struct world *w = *state;
    add(w, 1, by_hand);
    add(w, 2, (struct store_volume){0});
    assert_outcome(w, passing(w, 1), OUTCOME_PENDING, "volume.approval");
    set_request(w, STORE_REQUEST_APPROVED);
    struct audit_state before = end_of(w);
    sqlite_run("CREATE TRIGGER full BEFORE INSERT ON audit WHEN NEW.sequence = 4 "
               "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
    struct decision_case c[] = {passing(w, 1), passing(w, 2), passing(w, 2), rejected(w, 2)};
    assert_true(decide(w, c, ARRAY_SIZE(c)) < 0);
    for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
        assert_int_equal(c[i].outcome, OUTCOME_UNAVAILABLE);
        assert_null(c[i].secret);
        assert_int_equal(c[i].sequence, 0);
        assert_int_equal(strlen(c[i].id), 32);
        decision_case_free(&c[i]);
    }
    struct audit_state after = end_of(w);
    assert_memory_equal(&before, &after, sizeof(before));
    /* It recovers, and the approval is still there to be used. */
    sqlite_run("DROP TRIGGER full");
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
    assert_outcome(w, passing(w, 2), OUTCOME_RELEASED, NULL);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), 3);
}

static void a_store_that_is_gone_makes_everything_unavailable(void **state)
{
    struct world *w = *state;
    add(w, 1, (struct store_volume){0});
    struct decision_case c[] = {passing(w, 1), unreadable()};
    sqlite_run("ALTER TABLE volume RENAME TO gone");
    assert_true(decide(w, c, 2) < 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(c[i].outcome, OUTCOME_UNAVAILABLE);
        assert_null(c[i].secret);
        decision_case_free(&c[i]);
    }
    sqlite_run("ALTER TABLE gone RENAME TO volume");
    assert_outcome(w, passing(w, 1), OUTCOME_RELEASED, NULL);
}

/* ---- many ---- */
static void each_of_a_mixed_batch_has_its_record_in_order(void **state)
{
    struct world *w = *state;
    enum { MANY = 200 };
    struct decision_case *c = calloc(MANY, sizeof(*c));
    uint64_t expected = 0;
    add(w, 1, (struct store_volume){0});
    for (int i = 0; i < MANY; i++) {
        c[i] = i % 4 == 0 ? unreadable() : i % 4 == 1 ? rejected(w, 1) : passing(w, 1);
        if (i % 4 == 3)
            c[i].said.edition++; /* stale */
    }
    assert_int_equal(decide(w, c, MANY), 0);
    for (int i = 0; i < MANY; i++) {
        static const enum outcome kinds[] = {OUTCOME_UNREADABLE, OUTCOME_DENIED, OUTCOME_RELEASED,
                                             OUTCOME_STALE};
        assert_int_equal(c[i].outcome, kinds[i % 4]);
        assert_int_equal(c[i].sequence, i % 4 == 3 ? 0 : ++expected);
        decision_case_free(&c[i]);
    }
    free(c);
    assert_int_equal(broker_store_verify(&w->b, NULL, NULL), expected);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_passing_guest_gets_the_secret_of_its_volume_and_a_record),
        T(damaged_data_holds_up_nobody_else),
        T(what_was_not_recorded_spent_nothing),
        T(refusals_without_room_are_not_decided),
        T(a_rejection_is_denied_and_its_evidence_kept),
        T(evidence_is_kept_as_configured_whatever_the_appraiser_sends),
        T(evidence_is_kept_while_there_is_room),
        T(what_was_not_readable_is_recorded_without_a_volume),
        T(an_unknown_volume_is_denied_and_recorded),
        T(a_disabled_volume_is_denied),
        cmocka_unit_test(the_answers_say_nothing_of_reasons),
        T(a_verdict_by_an_older_policy_is_stale_and_not_recorded),
        T(a_volume_that_came_since_makes_the_verdict_stale),
        T(a_volume_that_was_made_anew_is_not_the_old_one),
        T(a_window_is_open_from_its_first_to_its_last_second),
        T(a_rate_counts_the_releases_of_the_same_batch),
        T(a_rate_forgets_after_its_seconds_and_not_before),
        T(a_clock_that_goes_back_breaks_nothing),
        T(an_approval_is_for_one_release),
        T(of_one_batch_one_uses_the_approval),
        T(an_approval_is_for_one_attester_and_expires),
        T(a_denial_holds_until_it_expires),
        T(what_is_rejected_asks_for_no_approval),
        T(a_damaged_secret_is_not_released_and_recorded),
        T(a_secret_that_cannot_be_had_uses_no_approval),
        T(what_was_changed_past_the_broker_releases_nothing),
        T(a_policy_changed_past_the_broker_is_refused_for_that),
        T(a_seal_under_an_unknown_key_is_none),
        T(an_approval_that_nobody_gave_is_none),
        T(an_approval_ends_whatever_the_database_says),
        T(of_two_volumes_of_one_uuid_none_is_released),
        T(a_name_is_another_in_capitals_whatever_the_database_says),
        T(reference_values_end_whatever_the_database_says),
        T(a_store_that_fails_in_the_middle_releases_nothing),
        T(a_store_that_is_gone_makes_everything_unavailable),
        T(each_of_a_mixed_batch_has_its_record_in_order),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
