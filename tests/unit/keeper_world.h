/* The keeper as a process; the test is its gate, two pairs of front and appraiser, the
 * administration and the supervisor. */
#ifndef ENCROOT_TESTS_KEEPER_WORLD_H
#define ENCROOT_TESTS_KEEPER_WORLD_H

#include "broker_process.h"
#include "broker_store.h"
#include "daemon/metrics.h"

#define PAIRS 2

struct keeper_world {
    struct daemon_config config;
    struct broker_store b; /* the same database, from outside */
    struct played keeper;
    struct channel control, gate, admin;
    struct channel appraiser[PAIRS], front[PAIRS];
    uint64_t last_connection;
};

static inline void keeper_start(struct keeper_world *w)
{
    struct played *p = &w->keeper;
    int ours[3 + 2 * PAIRS], n = 0;
    *p = (struct played){.process = {.role = ROLE_KEEPER, .config = &w->config}};
    ours[n++] = played_wire(p, WIRE_CONTROL);
    ours[n++] = played_wire(p, WIRE_PEERS);
    ours[n++] = played_wire(p, WIRE_VAULT);
    for (int i = 0; i < PAIRS; i++) {
        ours[n++] = played_wire(p, WIRE_DECISION);
        ours[n++] = played_wire(p, WIRE_ANSWER);
    }
    played_start(p, keeper_run, ours, (size_t)n, "keeper.log");
    channel_init(&w->control, ours[0]);
    channel_init(&w->gate, ours[1]);
    channel_init(&w->admin, ours[2]);
    for (int i = 0; i < PAIRS; i++) {
        channel_init(&w->appraiser[i], ours[3 + 2 * i]);
        channel_init(&w->front[i], ours[4 + 2 * i]);
    }
    expect_frame(&w->control, MESSAGE_READY, 0);
    w->last_connection = 0;
}

static inline void keeper_stop(struct keeper_world *w)
{
    played_kill(&w->keeper);
    channel_free(&w->control);
    channel_free(&w->gate);
    channel_free(&w->admin);
    for (int i = 0; i < PAIRS; i++) {
        channel_free(&w->appraiser[i]);
        channel_free(&w->front[i]);
    }
}

static inline int keeper_set_up(void **state)
{
    struct keeper_world *w = calloc(1, sizeof(*w));
    broker_store_remove();
    unlink("keeper.log");
    broker_store_open(&w->b);
    w->config = (struct daemon_config){
        .name = (char *)"test",
        .store = (char *)STORE_URL,
        .keks = {(char *)"file:" KEK_FILE},
        .kek_count = 1,
        .max_connections = 100,
        .request_seconds = 60,
        .evidence_keep = EVIDENCE_KEEP_REFUSED,
        .evidence_days = 30,
        .evidence_megabytes = 1024,
        .refusals_megabytes = 1024,
        .approval_seconds = 600,
    };
    keeper_start(w);
    *state = w;
    return 0;
}

static inline int keeper_tear_down(void **state)
{
    struct keeper_world *w = *state;
    keeper_stop(w);
    broker_store_verify(&w->b, NULL, NULL);
    broker_store_close(&w->b);
    free(w);
    return 0;
}

static inline void add_volume(struct keeper_world *w, uint8_t n, struct store_volume like)
{
    like.enabled = true;
    broker_store_add(&w->b, n, like, BYTES_STR("the policy"));
}

/* ---- the gate ---- */
static inline void put_connection(struct keeper_world *w, uint64_t number, uint32_t worker)
{
    struct message_connection m = {.worker = worker};
    snprintf(m.peer, sizeof(m.peer), "192.0.2.7 port %u", (unsigned)number);
    send_frame(&w->gate, MESSAGE_CONNECTION, number, BYTES(&m, sizeof(m)), BYTES_NONE);
}

static inline uint64_t accept_connection(struct keeper_world *w, uint32_t worker)
{
    put_connection(w, ++w->last_connection, worker);
    return w->last_connection;
}

/* ---- the appraiser ---- */
/* The body of a decision about volume `n`: passing, or with a rejection. */
static inline void make_decision(struct keeper_world *w, uint8_t n, bool passing,
                                 struct buffer *ret)
{
    _findings_ struct findings f = {0};
    _buffer_ struct buffer findings = {0};
    struct message_decision d = {.readable = 1, .passed = passing, .platform = "virtcca"};
    struct error err = {0};
    volume_uuid(d.volume, n);
    memset(d.attester, 0xa7, sizeof(d.attester));
    if (n)
        d.edition = broker_store_edition(&w->b, n);
    finding_add(&f, "token.signature", VERDICT_PASS, NULL, NULL);
    if (!passing)
        finding_add(&f, "boot.kernel", VERDICT_REJECT, "one", "another");
    assert_ok(messages_put_findings(&f, &findings, &err));
    d.findings_size = (uint32_t)findings.size;
    assert_int_equal(buffer_append(ret, &d, sizeof(d)), 0);
    assert_int_equal(buffer_append(ret, findings.data, findings.size), 0);
}

static inline void tell_decision(struct keeper_world *w, int pair, uint64_t connection, uint8_t n,
                                 bool passing)
{
    _buffer_ struct buffer body = {0};
    make_decision(w, n, passing, &body);
    send_frame(&w->appraiser[pair], MESSAGE_DECISION, connection, buffer_bytes(&body), BYTES_NONE);
}

/* ---- the front ---- */
static inline struct message_answer expect_answer(struct keeper_world *w, int pair,
                                                  uint64_t connection, uint32_t status,
                                                  const char *code)
{
    struct message_answer a;
    struct bytes body = expect_frame(&w->front[pair], MESSAGE_ANSWER, connection);
    assert_int_equal(body.size, sizeof(a));
    memcpy(&a, body.data, sizeof(a));
    assert_int_equal(a.status, status);
    assert_string_equal(a.code, code);
    assert_int_equal(strlen(a.id), 32);
    if (status != 200)
        assert_true(bytes_are_zero(a.secret, sizeof(a.secret)));
    expect_frame(&w->appraiser[pair], MESSAGE_DECIDED, connection);
    return a;
}

static inline void expect_secret(struct keeper_world *w, int pair, uint64_t connection, uint8_t n)
{
    _secret_ struct secret *s = volume_secret(n);
    struct message_answer a = expect_answer(w, pair, connection, 200, "");
    assert_memory_equal(a.secret, secret_data(s), VOLUME_SECRET_SIZE);
}

/* This pair is served. */
static inline void expect_service(struct keeper_world *w, int pair)
{
    uint64_t c = accept_connection(w, (uint32_t)pair);
    tell_decision(w, pair, c, 1, true);
    expect_secret(w, pair, c, 1);
}

#endif
