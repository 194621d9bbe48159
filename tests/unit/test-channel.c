/* Frames between processes, against a peer that sends what it likes, or reads nothing. */
#include "unit.h"
#include "crypto/tls.h"
#include "daemon/channel.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

struct ends {
    struct channel ours;
    int theirs; /* blocks */
};

static int set_up(void **state)
{
    struct ends *e = calloc(1, sizeof(*e));
    int fds[2];
    if (!e || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -1;
    channel_init(&e->ours, fds[0]);
    e->theirs = fds[1];
    *state = e;
    return 0;
}

static int tear_down(void **state)
{
    struct ends *e = *state;
    channel_free(&e->ours);
    if (e->theirs >= 0)
        close(e->theirs);
    free(e);
    return 0;
}

/* What a frame looks like on the wire. */
struct raw_head {
    uint32_t type, size;
    uint64_t connection;
};

static void write_raw(struct ends *e, const void *p, size_t n)
{
    assert_int_equal(write(e->theirs, p, n), n);
}

static void write_frame(struct ends *e, uint32_t type, const void *body, size_t n)
{
    struct raw_head h = {.type = type, .size = (uint32_t)n, .connection = 7};
    write_raw(e, &h, sizeof(h));
    if (n)
        write_raw(e, body, n);
}

static void close_theirs(struct ends *e)
{
    close(e->theirs);
    e->theirs = -1;
}

static int next(struct ends *e, struct frame *f)
{
    assert_int_equal(channel_fill(&e->ours, NULL), 0);
    return channel_next(&e->ours, f, NULL);
}

/* ---- receiving ---- */
static void the_descriptor_is_closed_on_exec_and_never_waits(void **state)
{
    struct ends *e = *state;
    assert_true(fcntl(e->ours.fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(e->ours.fd, F_GETFD) & FD_CLOEXEC);
}

static void a_frame_comes_whole_however_it_was_sent(void **state)
{
    struct ends *e = *state;
    struct raw_head h = {.type = 3, .size = 5, .connection = 1234567890123};
    uint8_t all[sizeof(h) + 5];
    struct frame f;
    memcpy(all, &h, sizeof(h));
    memcpy(all + sizeof(h), "hello", 5);
    for (size_t i = 0; i + 1 < sizeof(all); i++) {
        write_raw(e, all + i, 1);
        assert_int_equal(next(e, &f), 0);
    }
    write_raw(e, all + sizeof(all) - 1, 1);
    assert_int_equal(next(e, &f), 1);
    assert_int_equal(f.type, 3);
    assert_true(f.connection == 1234567890123);
    assert_int_equal(f.body.size, 5);
    assert_memory_equal(f.body.data, "hello", 5);
    assert_int_equal(next(e, &f), 0);
}

static void frames_of_one_read_come_one_by_one(void **state)
{
    struct ends *e = *state;
    struct frame f;
    write_frame(e, 1, "a", 1);
    write_frame(e, 2, NULL, 0);
    write_frame(e, 3, "ccc", 3);
    assert_int_equal(next(e, &f), 1);
    assert_int_equal(f.type, 1);
    assert_int_equal(channel_next(&e->ours, &f, NULL), 1);
    assert_int_equal(f.type, 2);
    assert_int_equal(f.body.size, 0);
    assert_int_equal(channel_next(&e->ours, &f, NULL), 1);
    assert_int_equal(f.type, 3);
    assert_memory_equal(f.body.data, "ccc", 3);
    assert_int_equal(channel_next(&e->ours, &f, NULL), 0);
}

static void a_frame_beyond_the_limit_is_refused_by_its_head(void **state)
{
    struct ends *e = *state;
    struct raw_head h = {.type = 1, .size = 65};
    struct error err = {0};
    struct frame f;
    e->ours.frame_max = 64;
    write_frame(e, 1, "0123456789012345678901234567890123456789012345678901234567890123", 64);
    assert_int_equal(next(e, &f), 1);
    write_raw(e, &h, sizeof(h));
    assert_int_equal(channel_fill(&e->ours, &err), 0);
    assert_int_equal(channel_next(&e->ours, &f, &err), -EPROTO);
    assert_non_null(strstr(err.text, "65"));
}

static void the_largest_size_of_a_head_is_refused(void **state)
{
    struct ends *e = *state;
    struct raw_head h = {.type = 1, .size = UINT32_MAX};
    struct frame f;
    write_raw(e, &h, sizeof(h));
    assert_int_equal(next(e, &f), -EPROTO);
}

static void *flood(void *arg)
{
    static const uint8_t zeros[1 << 16];
    const struct ends *e = arg;
    while (send(e->theirs, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0)
        ;
    return NULL;
}

/* Nobody takes frames: what is kept stays within what one frame may have. */
static void a_flood_fills_bounded_memory(void **state)
{
    struct ends *e = *state;
    pthread_t thread;
    e->ours.frame_max = (size_t)1 << 20;
    assert_int_equal(pthread_create(&thread, NULL, flood, e), 0);
    uint64_t until = clock_now() + SECONDS(20);
    while (e->ours.in.size < e->ours.frame_max && clock_now() < until)
        assert_int_equal(channel_fill(&e->ours, NULL), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(channel_fill(&e->ours, NULL), 0);
    assert_true(e->ours.in.size >= e->ours.frame_max);
    assert_true(e->ours.in.capacity <= 4 * e->ours.frame_max);
    shutdown(e->theirs, SHUT_RDWR);
    pthread_join(thread, NULL);
}

static void what_came_before_the_end_is_taken(void **state)
{
    struct ends *e = *state;
    struct frame f;
    write_frame(e, 9, "x", 1);
    write_raw(e, "half a head", 11);
    close_theirs(e);
    assert_int_equal(next(e, &f), 1);
    assert_int_equal(f.type, 9);
    assert_int_equal(next(e, &f), 0);
    assert_true(e->ours.ended);
}

/* As a process does that is killed. */
static void a_peer_that_closed_without_reading_has_ended(void **state)
{
    struct ends *e = *state;
    struct frame f;
    assert_int_equal(channel_send(&e->ours, 1, 0, NULL, 0, NULL), 0);
    close_theirs(e);
    assert_int_equal(next(e, &f), 0);
    assert_true(e->ours.ended);
    assert_int_equal(channel_send(&e->ours, 1, 0, NULL, 0, NULL), -EPIPE);
}

/* ---- sending ---- */
static void parts_become_one_body(void **state)
{
    struct ends *e = *state;
    const struct bytes parts[] = {BYTES_STR("ab"), BYTES_NONE, BYTES_STR("cde")};
    uint8_t got[sizeof(struct raw_head) + 5];
    struct raw_head h;
    assert_int_equal(channel_send(&e->ours, 4, 77, parts, 3, NULL), 0);
    assert_false(channel_wants_write(&e->ours));
    assert_int_equal(read(e->theirs, got, sizeof(got)), sizeof(got));
    memcpy(&h, got, sizeof(h));
    assert_int_equal(h.type, 4);
    assert_int_equal(h.size, 5);
    assert_int_equal(h.connection, 77);
    assert_memory_equal(got + sizeof(h), "abcde", 5);
}

static void a_frame_that_nobody_may_receive_is_not_sent(void **state)
{
    struct ends *e = *state;
    _free_ uint8_t *large = calloc(1, CHANNEL_FRAME_MAX + 1);
    const struct bytes part = BYTES(large, CHANNEL_FRAME_MAX + 1);
    assert_int_equal(channel_send(&e->ours, 1, 0, &part, 1, NULL), -EMSGSIZE);
    assert_int_equal(channel_waiting(&e->ours), 0);
}

static void a_peer_that_does_not_read_is_given_up_at_the_limit(void **state)
{
    struct ends *e = *state;
    static const uint8_t body[10000];
    const struct bytes part = BYTES_OF(body);
    struct error err = {0};
    int r = 0, sent = 0;
    e->ours.out_max = 100000;
    while (r == 0 && sent < 10000) {
        r = channel_send(&e->ours, 1, 0, &part, 1, &err);
        sent += r == 0;
    }
    assert_int_equal(r, -ENOBUFS);
    assert_true(sent > 9);
    assert_true(channel_waiting(&e->ours) <= 100000);
    /* What was accepted before is not torn: all of it arrives. */
    size_t expected = (size_t)sent * (sizeof(struct raw_head) + sizeof(body)), got = 0;
    _free_ uint8_t *in = malloc(expected);
    while (got < expected) {
        assert_int_equal(channel_flush(&e->ours, NULL), 0);
        ssize_t n = read(e->theirs, in + got, expected - got);
        assert_true(n > 0);
        got += (size_t)n;
    }
    for (int i = 0; i < sent; i++) {
        struct raw_head h;
        memcpy(&h, in + (size_t)i * (sizeof(h) + sizeof(body)), sizeof(h));
        assert_int_equal(h.size, sizeof(body));
    }
    assert_false(channel_wants_write(&e->ours));
}

/* ---- secrets ---- */
static bool holds(const struct buffer *b, const char *secret)
{
    return b->data && memmem(b->data, b->capacity, secret, strlen(secret));
}

static void what_was_sent_is_wiped(void **state)
{
    struct ends *e = *state;
    static const char secret[] = "correct horse battery staple";
    static const uint8_t body[100000];
    const struct bytes fill = BYTES_OF(body), part = BYTES_STR(secret);
    uint8_t drain[1 << 16];
    while (!channel_wants_write(&e->ours)) /* so that it must wait in memory */
        assert_int_equal(channel_send(&e->ours, 1, 0, &fill, 1, NULL), 0);
    assert_int_equal(channel_send(&e->ours, 1, 0, &part, 1, NULL), 0);
    assert_true(holds(&e->ours.out, secret));
    /* Something behind it, so that the buffer is not just given back. */
    for (int i = 0; i < 3; i++)
        assert_int_equal(channel_send(&e->ours, 2, 0, &fill, 1, NULL), 0);
    size_t behind = 3 * (sizeof(struct raw_head) + sizeof(body));
    while (channel_waiting(&e->ours) >= behind) {
        assert_true(read(e->theirs, drain, sizeof(drain)) > 0);
        assert_int_equal(channel_flush(&e->ours, NULL), 0);
    }
    assert_true(channel_wants_write(&e->ours));
    assert_false(holds(&e->ours.out, secret));
}

static void what_was_taken_is_wiped(void **state)
{
    struct ends *e = *state;
    static const char secret[] = "correct horse battery staple";
    struct frame f;
    write_frame(e, 1, secret, strlen(secret));
    write_frame(e, 2, "a frame that is longer than the first by some bytes, and stays", 62);
    assert_int_equal(next(e, &f), 1);
    assert_memory_equal(f.body.data, secret, strlen(secret));
    assert_true(holds(&e->ours.in, secret));
    assert_int_equal(channel_next(&e->ours, &f, NULL), 1);
    assert_int_equal(f.type, 2);
    assert_false(holds(&e->ours.in, secret));
    assert_memory_equal(f.body.data, "a frame", 7);
}

/* ---- much ---- */
struct reader_job {
    int fd;
    size_t frames, bytes;
};

static void *read_all(void *arg)
{
    struct reader_job *j = arg;
    struct channel c;
    struct frame f;
    uint64_t expected = 1;
    channel_init(&c, j->fd);
    while (channel_wait(&c, &f, clock_now() + SECONDS(60), NULL) == 0) {
        if (f.connection != expected++)
            break;
        j->frames++;
        j->bytes += f.body.size;
    }
    channel_free(&c);
    return NULL;
}

/* A long queue of small frames: each byte moves a bounded number of times, so that this ends. */
static void a_long_queue_keeps_its_order(void **state)
{
    struct ends *e = *state;
    enum { FRAMES = 200000 };
    struct reader_job j = {.fd = e->theirs};
    uint8_t body[80] = {1};
    const struct bytes part = BYTES_OF(body);
    pthread_t thread;
    e->theirs = -1;
    for (uint64_t i = 1; i <= FRAMES; i++)
        assert_int_equal(channel_send(&e->ours, 1, i, &part, 1, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_all, &j), 0);
    assert_int_equal(channel_drain(&e->ours, clock_now() + SECONDS(60), NULL), 0);
    shutdown(e->ours.fd, SHUT_WR);
    pthread_join(thread, NULL);
    assert_int_equal(j.frames, FRAMES);
    assert_int_equal(j.bytes, FRAMES * sizeof(body));
}

/* ---- one thing at a time ---- */
static void waiting_ends_at_the_deadline_or_with_the_peer(void **state)
{
    struct ends *e = *state;
    struct frame f;
    assert_int_equal(channel_wait(&e->ours, &f, clock_now() + 1000000, NULL), -ETIMEDOUT);
    write_frame(e, 5, "x", 1);
    assert_int_equal(channel_wait(&e->ours, &f, clock_now() + SECONDS(20), NULL), 0);
    assert_int_equal(f.type, 5);
    close_theirs(e);
    assert_int_equal(channel_wait(&e->ours, &f, 0, NULL), -ECONNRESET);
}

static void freeing_what_never_was_is_harmless(void **state)
{
    (void)state;
    struct channel c = {.fd = -1};
    channel_free(&c);
    channel_free(&c);
    assert_int_equal(c.fd, -1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_descriptor_is_closed_on_exec_and_never_waits),
        T(a_frame_comes_whole_however_it_was_sent),
        T(frames_of_one_read_come_one_by_one),
        T(a_frame_beyond_the_limit_is_refused_by_its_head),
        T(the_largest_size_of_a_head_is_refused),
        T(a_flood_fills_bounded_memory),
        T(what_came_before_the_end_is_taken),
        T(a_peer_that_closed_without_reading_has_ended),
        T(parts_become_one_body),
        T(a_frame_that_nobody_may_receive_is_not_sent),
        T(a_peer_that_does_not_read_is_given_up_at_the_limit),
        T(what_was_sent_is_wiped),
        T(what_was_taken_is_wiped),
        T(a_long_queue_keeps_its_order),
        T(waiting_ends_at_the_deadline_or_with_the_peer),
        cmocka_unit_test(freeing_what_never_was_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
