/*
 * K1: a keeper that is killed at any moment, under load, has handed out no secret that is not in
 * the audit, and the next one goes on with a whole chain.
 */
#include "keeper_world.h"

#define LIVES 60
#define LOAD 300 /* connections of one life */

struct granted {
    char ids[LIVES * LOAD][RELEASE_ID_SIZE];
    size_t count;
};

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, RELEASE_ID_SIZE);
}

/* All answers that left the keeper, also those that it wrote before it died. */
static void read_answers(struct keeper_world *w, struct granted *out)
{
    struct message_answer a;
    struct frame f;
    for (int i = 0; i < PAIRS; i++) {
        assert_int_equal(channel_fill(&w->front[i], NULL), 0);
        while (channel_next(&w->front[i], &f, NULL) > 0) {
            assert_int_equal(f.type, MESSAGE_ANSWER);
            memcpy(&a, f.body.data, sizeof(a));
            if (a.status != 200)
                continue;
            assert_false(bytes_are_zero(a.secret, sizeof(a.secret)));
            memcpy(out->ids[out->count++], a.id, RELEASE_ID_SIZE);
        }
    }
}

/* A few more requests of both pairs, good and bad. */
static void ask(struct keeper_world *w, const struct buffer bodies[2])
{
    for (int n = 0; n < 5 && w->last_connection < LOAD; n++) {
        uint64_t i = ++w->last_connection;
        struct message_connection m = {.peer = "peer", .worker = (uint32_t)(i % PAIRS)};
        const struct bytes connection = BYTES(&m, sizeof(m));
        const struct bytes body = buffer_bytes(&bodies[i % 5 == 0]);
        assert_int_equal(channel_send(&w->gate, MESSAGE_CONNECTION, i, &connection, 1, NULL), 0);
        assert_int_equal(
            channel_send(&w->appraiser[i % PAIRS], MESSAGE_DECISION, i, &body, 1, NULL), 0);
    }
}

static void exchange(struct keeper_world *w, struct granted *out)
{
    struct frame f;
    assert_int_equal(channel_flush(&w->gate, NULL), 0);
    for (int i = 0; i < PAIRS; i++) {
        assert_int_equal(channel_flush(&w->appraiser[i], NULL), 0);
        assert_int_equal(channel_fill(&w->appraiser[i], NULL), 0);
        while (channel_next(&w->appraiser[i], &f, NULL) > 0)
            ;
    }
    read_answers(w, out);
}

/* Asks until a random moment: of the first 50 ms, or (`answered`) of those behind the first secret.
 */
static void load(struct keeper_world *w, const struct buffer bodies[2], bool answered,
                 uint64_t random, struct granted *out)
{
    uint64_t linger = random % 50000000, until = clock_now() + (answered ? PATIENCE : linger);
    size_t before = out->count;
    while (clock_now() < until) {
        ask(w, bodies);
        exchange(w, out);
        if (answered && out->count > before) {
            until = clock_now() + linger;
            answered = false;
        }
    }
}

struct recorded {
    const struct granted *granted;
    size_t found, others;
};

static void look_up(void *arg, const struct audit_record *r)
{
    struct recorded *found = arg;
    if (r->verdict != AUDIT_GRANTED)
        return;
    if (bsearch(r->id, found->granted->ids, found->granted->count, RELEASE_ID_SIZE, compare))
        found->found++;
    else
        found->others++;
}

static void what_was_handed_out_is_recorded_whenever_it_dies(void **state)
{
    struct keeper_world *w = *state;
    struct buffer bodies[2] = {{0}, {0}};
    struct granted *granted = calloc(1, sizeof(*granted));
    size_t broken_off = 0;
    uint64_t random = 1;
    add_volume(w, 1, (struct store_volume){0});
    make_decision(w, 1, true, &bodies[0]);
    make_decision(w, 1, false, &bodies[1]);
    for (int life = 0; life < LIVES; life++) {
        size_t before = granted->count;
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        load(w, bodies, life % 4 != 0, random >> 33, granted);
        played_kill(&w->keeper);
        read_answers(w, granted);
        size_t here = granted->count - before;
        broken_off += here > 0 && here < LOAD / 5 * 4;
        keeper_stop(w);
        keeper_start(w);
    }
    qsort(granted->ids, granted->count, RELEASE_ID_SIZE, compare);
    struct recorded found = {.granted = granted};
    broker_store_verify(&w->b, look_up, &found);
    print_message("%zu secrets handed out, %zu more recorded, %zu lives broken off\n",
                  granted->count, found.others, broken_off);
    assert_int_equal(found.found, granted->count);
    /* It would show nothing if it never died in the middle. */
    assert_true(granted->count > LOAD);
    assert_true(broken_off > 0);
    buffer_free(&bodies[0]);
    buffer_free(&bodies[1]);
    free(granted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_handed_out_is_recorded_whenever_it_dies,
                                        keeper_set_up, keeper_tear_down),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
