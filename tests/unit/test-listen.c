#include "unit.h"
#include "agent/listen.h"
#include "crypto/tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

/*
 * The protocol spoken here, in place of TLS: "A" authenticates, "K" and a byte yields a secret of
 * 32 such bytes, anything else or an end is a failure; silence for 60 s is one too.
 */
struct room {
    struct listener *listener;
    uint16_t port;
    atomic_uint running, authenticated, failures_shown, failures_counted;
};

#define PATIENCE 30000 /* ms, for what is sure to come */

static int next_byte(int fd, uint64_t deadline)
{
    while (clock_now() < deadline) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint8_t b;
        if (poll(&p, 1, 100) > 0) {
            ssize_t n = recv(fd, &b, 1, 0);
            return n == 1 ? b : -1;
        }
    }
    return -1;
}

static int fetch(void *arg, int fd, struct attempt *a, struct secret **ret, struct error *err)
{
    struct room *room = arg;
    uint64_t deadline = clock_now() + SECONDS(60);
    room->running++;
    int b;
    while ((b = next_byte(fd, deadline)) == 'A') {
        attempt_authenticated(a);
        room->authenticated++;
    }
    int value = b == 'K' ? next_byte(fd, deadline) : -1;
    struct secret *s = value >= 0 ? secret_new(32) : NULL;
    room->running--;
    if (!s)
        return error_set(err, EPROTO, "not our protocol");
    memset(secret_data(s), value, 32);
    *ret = s;
    return 0;
}

static void failed(void *arg, const char *peer, const struct error *err, unsigned not_shown)
{
    struct room *room = arg;
    assert_string_equal(err->text, "not our protocol");
    assert_int_equal(strncmp(peer, "127.0.0.1 port ", 15), 0);
    room->failures_shown++;
    room->failures_counted += 1 + not_shown;
}

static void open_room(struct room *room)
{
    struct listen_handler handler = {.fetch = fetch, .failed = failed, .arg = room};
    struct error err = {0};
    *room = (struct room){0};
    if (listener_open(&room->listener, 0, &handler, &err) < 0)
        fail_msg("%s", err.text);
    struct sockaddr_in6 own;
    socklen_t size = sizeof(own);
    assert_int_equal(getsockname(listener_fd(room->listener), (void *)&own, &size), 0);
    room->port = ntohs(own.sin6_port); /* at the same place in sockaddr_in */
}

static int dial(const struct room *room)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(room->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (void *)&to, sizeof(to)), 0);
    listener_accept(room->listener);
    return fd;
}

static void say_to(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static struct secret *await_secret(const struct room *room, int ms)
{
    struct pollfd p = {.fd = listener_secret_fd(room->listener), .events = POLLIN};
    return poll(&p, 1, ms) > 0 ? listener_take(room->listener) : NULL;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void wait_for(const atomic_uint *count)
{
    for (int ms = 0; ms < PATIENCE && *count == 0; ms++)
        pause_ms(1);
    assert_int_equal(*count, 1);
}

/* C4: silent connections, many more than there are places, do not keep the right one out. */
static void half_open_connections_do_no_harm(void **state)
{
    (void)state;
    struct room room;
    int silent[3 * LISTEN_CONNECTIONS_MAX];
    open_room(&room);
    for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
        silent[i] = dial(&room);
    assert_true(room.running <= LISTEN_CONNECTIONS_MAX);
    int right = dial(&room);
    say_to(right, "AKx");
    _secret_ struct secret *s = await_secret(&room, PATIENCE);
    assert_non_null(s);
    assert_int_equal(secret_data(s)[31], 'x');
    for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
        close(silent[i]);
    close(right);
    listener_close(room.listener);
    assert_int_equal(room.running, 0);
}

static void an_authenticated_peer_is_never_replaced(void **state)
{
    (void)state;
    struct room room;
    int flood[4 * LISTEN_CONNECTIONS_MAX];
    open_room(&room);
    int right = dial(&room);
    say_to(right, "A");
    wait_for(&room.authenticated);
    for (size_t i = 0; i < ARRAY_SIZE(flood); i++)
        flood[i] = dial(&room);
    say_to(right, "Ky");
    _secret_ struct secret *s = await_secret(&room, PATIENCE);
    assert_non_null(s);
    assert_int_equal(secret_data(s)[0], 'y');
    for (size_t i = 0; i < ARRAY_SIZE(flood); i++)
        close(flood[i]);
    close(right);
    listener_close(room.listener);
}

static void garbage_is_reported_but_not_without_end(void **state)
{
    (void)state;
    struct room room;
    open_room(&room);
    for (int i = 0; i < 100; i++) {
        int fd = dial(&room);
        say_to(fd, "GET / HTTP/1.0\r\n\r\n");
        close(fd);
        pause_ms(2);
    }
    assert_null(await_secret(&room, 100));
    assert_in_range(room.failures_shown, 1, 10);
    /* but a broker's own failures are */
    unsigned before = room.failures_shown;
    for (unsigned i = 1; i <= 20; i++) {
        int fd = dial(&room);
        say_to(fd, "A?");
        for (int wait = 0; wait < PATIENCE / 2 && room.failures_shown < before + i; wait++)
            pause_ms(2);
        assert_int_equal(room.failures_shown, before + i);
        close(fd);
    }
    assert_true(room.failures_counted <= 120);
    listener_close(room.listener);
}

static void the_first_secret_counts(void **state)
{
    (void)state;
    struct room room;
    open_room(&room);
    int first = dial(&room);
    int second = dial(&room);
    say_to(first, "AK1");
    struct pollfd p = {.fd = listener_secret_fd(room.listener), .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE), 1);
    say_to(second, "AK2");
    pause_ms(100);
    _secret_ struct secret *s = await_secret(&room, PATIENCE);
    assert_non_null(s);
    assert_int_equal(secret_data(s)[0], '1');
    close(first);
    close(second);
    listener_close(room.listener);
}

static void closing_ends_what_runs(void **state)
{
    (void)state;
    struct room room;
    open_room(&room);
    int fd = dial(&room);
    wait_for(&room.running);
    listener_close(room.listener);
    assert_int_equal(room.running, 0);        /* else it gave up waiting */
    assert_int_equal(room.failures_shown, 0); /* ending is no failure */
    close(fd);
}

/* The broker sees an orderly end, not a reset. */
static void the_right_peer_sees_an_orderly_end(void **state)
{
    (void)state;
    struct room room;
    open_room(&room);
    int fd = dial(&room);
    say_to(fd, "AKz");
    _secret_ struct secret *s = await_secret(&room, PATIENCE);
    assert_non_null(s);
    uint8_t b;
    assert_int_equal(recv(fd, &b, 1, 0), 0);
    close(fd);
    listener_close(room.listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_open_connections_do_no_harm),
        cmocka_unit_test(an_authenticated_peer_is_never_replaced),
        cmocka_unit_test(garbage_is_reported_but_not_without_end),
        cmocka_unit_test(the_first_secret_counts),
        cmocka_unit_test(closing_ends_what_runs),
        cmocka_unit_test(the_right_peer_sees_an_orderly_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
