/*
 * The agent dials brokers that are TLS servers on loopback, each with one behaviour; DNS too is the
 * test's. In place of HTTP, an authenticated broker sends 32 bytes.
 */
#include "unit.h"
#include "dns_server.h"
#include "agent/backoff.h"
#include "agent/dial.h"
#include "agent/release_client.h"
#include "crypto/tls.h"

#include <poll.h>
#include <signal.h>

#define PATIENCE SECONDS(60) /* of tests that are done in a second or two */

enum behaviour {
    REFUSED,   /* a port where nobody listens */
    SILENT,    /* accepts, and says nothing */
    RESETS,    /* accepts, and closes */
    WRONG_KEY, /* a broker, but not ours */
    GARBAGE,   /* speaks something else */
    REFUSES,   /* ours; sends no secret */
    HANGS,     /* ours; after the handshake it says nothing */
    RIGHT,
};

struct fake {
    enum behaviour behaviour;
    int family;       /* 0: AF_INET */
    uint32_t address; /* of IPv4; 0: 127.0.0.1 */
    uint16_t port;    /* 0: any */
    int fd;
    pthread_t thread;
    bool serves; /* there is a thread */
    atomic_uint connections;
    atomic_bool end;
};

/* What became of it all. */
struct room {
    struct dialer *dialer;
    struct resolver resolver;
    uint64_t ahead; /* of the clock */
    char lines[64][512];
    size_t line_count;
    atomic_uint connected, authenticated;
};

static struct tls_identity *ours, *another;
static uint8_t pins[1][32];

static int set_up_key(const char *folder, const char *name, struct tls_identity **ret)
{
    char key[96], cert[96];
    struct error e = {0};
    snprintf(key, sizeof(key), "%s/%s.key", folder, name);
    snprintf(cert, sizeof(cert), "%s/%s.crt", folder, name);
    int r = tls_identity_create(key, cert, &e);
    if (r == 0)
        r = tls_identity_load(ret, key, cert, &e);
    unlink(key);
    unlink(cert);
    return r;
}

static int set_up(void **state)
{
    (void)state;
    char folder[] = "/tmp/encroot-test-XXXXXX";
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(folder) || set_up_key(folder, "ours", &ours) < 0 ||
        set_up_key(folder, "another", &another) < 0 || tls_identity_pin(ours, pins[0]) < 0)
        return -1;
    return rmdir(folder);
}

static int tear_down(void **state)
{
    (void)state;
    tls_identity_free(ours);
    tls_identity_free(another);
    return 0;
}

/* ---- brokers ---- */
static void speak(const struct fake *f, int fd)
{
    uint8_t secret[32];
    _tls_ struct tls *t = NULL;
    uint64_t end = clock_now() + SECONDS(10);
    memset(secret, 'x', sizeof(secret));
    if (f->behaviour == GARBAGE)
        send(fd, "220 mail.example.org ESMTP\r\n", 28, MSG_NOSIGNAL);
    if (f->behaviour < WRONG_KEY || f->behaviour == GARBAGE ||
        tls_accept(&t, fd, f->behaviour == WRONG_KEY ? another : ours, end, NULL) < 0)
        return;
    while (f->behaviour == HANGS && !f->end)
        poll(NULL, 0, 20);
    if (f->behaviour == RIGHT && tls_write(t, secret, sizeof(secret), end, NULL) < 0)
        return;
}

static void *serve(void *arg)
{
    struct fake *f = arg;
    while (!f->end) {
        struct pollfd p = {.fd = f->fd, .events = POLLIN};
        if (poll(&p, 1, 20) <= 0)
            continue;
        int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
        f->connections++;
        speak(f, fd);
        close(fd);
    }
    return NULL;
}

/* From REFUSED to something better: a broker that comes up later. */
static void come_up(struct fake *f, enum behaviour behaviour)
{
    f->behaviour = behaviour;
    assert_int_equal(listen(f->fd, 16), 0);
    if (behaviour == SILENT)
        return; /* the kernel accepts */
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
    f->serves = true;
}

static struct broker_address start(struct fake *f)
{
    struct sockaddr_in four = {.sin_family = AF_INET,
                               .sin_port = htons(f->port),
                               .sin_addr.s_addr = htonl(f->address ? f->address : INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(f->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool is_six = f->family == AF_INET6;
    socklen_t size = is_six ? sizeof(six) : sizeof(four);
    struct sockaddr *own = is_six ? (void *)&six : (void *)&four;
    f->fd = socket(own->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->fd >= 0);
    if (bind(f->fd, own, size) < 0)
        skip(); /* no IPv6 here */
    assert_int_equal(getsockname(f->fd, own, &size), 0);
    f->port = ntohs(is_six ? six.sin6_port : four.sin_port);
    if (f->behaviour != REFUSED)
        come_up(f, f->behaviour);
    struct broker_address b = {.port = f->port};
    snprintf(b.host, sizeof(b.host), "%s", is_six ? "::1" : "127.0.0.1");
    return b;
}

static void stop(struct fake *f)
{
    f->end = true;
    if (f->serves)
        pthread_join(f->thread, NULL);
    close(f->fd);
}

/* ---- the agent ---- */
static int fetch(void *arg, int fd, struct attempt *a, struct secret **ret, struct error *err)
{
    struct room *room = arg;
    uint64_t end = clock_now() + SECONDS(30);
    room->connected++;
    _tls_ struct tls *t = NULL;
    int r = tls_connect(&t, fd, pins, 1, end, err);
    if (r < 0)
        return r;
    attempt_authenticated(a);
    room->authenticated++;
    _secret_ struct secret *s = secret_new(32);
    ssize_t n = tls_read(t, secret_data(s), 32, end, err);
    if (n != 32)
        return n < 0 ? (int)n : error_set(err, EACCES, "the broker refused (denied, id 7)");
    *ret = TAKE_PTR(s);
    return 0;
}

static void take_line(void *arg, const char *line)
{
    struct room *room = arg;
    if (room->line_count < ARRAY_SIZE(room->lines))
        snprintf(room->lines[room->line_count], sizeof(room->lines[0]), "%s", line);
    room->line_count++;
}

static void open_room(struct room *room, const struct broker_address *brokers, size_t count)
{
    struct dial_handler handler = {.fetch = fetch, .say = take_line, .arg = room};
    struct error err = {0};
    if (dialer_open(&room->dialer, brokers, count, &handler, &err) < 0)
        fail_msg("%s", err.text);
}

/* A turn of the agent's loop. */
static struct secret *turn(struct room *room)
{
    uint64_t now = clock_now() + room->ahead;
    uint64_t wake = dialer_work(room->dialer, &room->resolver, now);
    struct pollfd fds[] = {{.fd = dialer_event_fd(room->dialer), .events = POLLIN},
                           {.fd = dialer_secret_fd(room->dialer), .events = POLLIN}};
    uint64_t wait = wake > now ? (wake - now) / 1000000 + 1 : 0;
    poll(fds, ARRAY_SIZE(fds), wait > 1000 ? 1000 : (int)wait);
    return dialer_take(room->dialer);
}

static struct secret *await_secret(struct room *room)
{
    uint64_t end = clock_now() + PATIENCE;
    struct secret *s = NULL;
    while (!s && clock_now() < end)
        s = turn(room);
    return s;
}

static void await_lines(struct room *room, size_t count)
{
    uint64_t end = clock_now() + PATIENCE;
    while (room->line_count < count && clock_now() < end)
        assert_null(turn(room));
    assert_true(room->line_count >= count);
}

static bool was_said(const struct room *room, const char *a, const char *b)
{
    for (size_t i = 0; i < room->line_count && i < ARRAY_SIZE(room->lines); i++)
        if (strstr(room->lines[i], a) && strstr(room->lines[i], b))
            return true;
    return false;
}

/* One literal broker for each behaviour, in this order. Returns how long the secret took. */
static uint64_t race(struct room *room, struct fake *fakes, size_t count)
{
    struct broker_address brokers[AGENT_BROKERS_MAX];
    for (size_t i = 0; i < count; i++)
        brokers[i] = start(&fakes[i]);
    uint64_t before = clock_now();
    open_room(room, brokers, count);
    _secret_ struct secret *s = await_secret(room);
    uint64_t took = clock_now() - before;
    dialer_close(room->dialer);
    for (size_t i = 0; i < count; i++)
        stop(&fakes[i]);
    assert_non_null(s);
    assert_int_equal(secret_data(s)[31], 'x');
    return took;
}

/* ---- the race ---- */
/* C7: the time-outs of the first (5 s, 10 s, 60 s) are not the second's. */
static void no_bad_broker_delays_the_right_one(void **state)
{
    (void)state;
    static const enum behaviour bad[] = {REFUSED, SILENT, RESETS, WRONG_KEY, GARBAGE, REFUSES};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct room room = {0};
        struct fake fakes[] = {{.behaviour = bad[i]}, {.behaviour = RIGHT}};
        assert_true(race(&room, fakes, 2) < SECONDS(5));
    }
}

static void seven_bad_brokers_and_a_right_one(void **state)
{
    (void)state;
    struct room room = {0};
    struct fake fakes[] = {{.behaviour = SILENT}, {.behaviour = REFUSED}, {.behaviour = WRONG_KEY},
                           {.behaviour = SILENT}, {.behaviour = RESETS},  {.behaviour = GARBAGE},
                           {.behaviour = SILENT}, {.behaviour = RIGHT}};
    assert_true(race(&room, fakes, 8) < SECONDS(20));
    assert_true(
        was_said(&room, "broker 2 of 8 (127.0.0.1 port ", "connection refused; next try in"));
    assert_true(was_said(&room, "broker 3 of 8", "the broker's key is not one that is pinned"));
}

/* An authenticated broker has a head start, and not more. */
static void a_broker_that_hangs_is_overtaken(void **state)
{
    (void)state;
    struct room room = {0};
    struct fake fakes[] = {{.behaviour = HANGS}, {.behaviour = RIGHT}};
    uint64_t took = race(&room, fakes, 2);
    assert_in_range(took, DIAL_LEAD_MS * UINT64_C(1000000), SECONDS(30));
}

static void a_fleet_does_not_ask_every_broker(void **state)
{
    (void)state;
    struct room room = {0};
    struct fake fakes[] = {{.behaviour = HANGS}, {.behaviour = RIGHT}, {.behaviour = RIGHT}};
    struct broker_address brokers[3];
    for (size_t i = 0; i < 3; i++)
        brokers[i] = start(&fakes[i]);
    open_room(&room, brokers, 3);
    uint64_t begun = clock_now();
    while (room.authenticated == 0 && clock_now() < begun + PATIENCE) {
        room.ahead = begun - clock_now(); /* as if no time passed: the second's turn would come */
        assert_null(turn(&room));
    }
    room.ahead = 0;
    for (uint64_t end = clock_now() + SECONDS(1); clock_now() < end;)
        assert_null(turn(&room));
    assert_int_equal(room.authenticated, 1);
    assert_int_equal(fakes[1].connections + fakes[2].connections, 0);
    dialer_close(room.dialer);
    for (size_t i = 0; i < 3; i++)
        stop(&fakes[i]);
}

static void ipv6_addresses_are_dialed(void **state)
{
    (void)state;
    struct room room = {0};
    struct fake fakes[] = {{.behaviour = REFUSED}, {.behaviour = RIGHT, .family = AF_INET6}};
    race(&room, fakes, 2);
}

static void a_broker_that_comes_up_is_found(void **state)
{
    (void)state;
    struct room room = {0};
    struct fake f = {.behaviour = REFUSED};
    struct broker_address b = start(&f);
    open_room(&room, &b, 1);
    await_lines(&room, 2);
    come_up(&f, RIGHT);
    _secret_ struct secret *s = await_secret(&room);
    assert_non_null(s);
    dialer_close(room.dialer);
    stop(&f);
}

/* The operator may approve yet. */
static void a_refusal_is_told_and_tried_again(void **state)
{
    (void)state;
    struct room room = {0};
    struct fake f = {.behaviour = REFUSES};
    struct broker_address b = start(&f);
    open_room(&room, &b, 1);
    await_lines(&room, 2);
    assert_true(
        was_said(&room, "broker 1 of 1 (127.0.0.1 port", "refused (denied, id 7); next try"));
    f.behaviour = RIGHT;
    _secret_ struct secret *s = await_secret(&room);
    assert_non_null(s);
    dialer_close(room.dialer);
    stop(&f);
}

static void another_network_ends_the_backoff(void **state)
{
    (void)state;
    struct room room = {0};
    struct fake f = {.behaviour = REFUSED};
    struct broker_address b = start(&f);
    open_room(&room, &b, 1);
    for (size_t i = 1; i <= 5; i++, room.ahead += BACKOFF_MAX)
        await_lines(&room, i);
    room.ahead -= BACKOFF_MAX; /* the wait is now 15 to 30 s */
    uint64_t now = clock_now() + room.ahead;
    assert_true(dialer_work(room.dialer, &room.resolver, now) > now + SECONDS(10));
    come_up(&f, RIGHT);
    dialer_hurry(room.dialer, now);
    uint64_t before = clock_now();
    _secret_ struct secret *s = await_secret(&room);
    assert_non_null(s);
    assert_true(clock_now() - before < SECONDS(10));
    dialer_close(room.dialer);
    stop(&f);
}

/* ---- names ---- */
static uint64_t race_named(struct room *room, struct dns_fake *dns, size_t dns_count,
                           struct fake *fakes, size_t count)
{
    struct broker_address b = {.host = "keys.example.org"};
    for (size_t i = 0; i < dns_count; i++)
        room->resolver.servers[room->resolver.count++] = dns_start(&dns[i]);
    for (size_t i = 0; i < count; i++) {
        fakes[i].port = b.port;
        b.port = start(&fakes[i]).port;
    }
    uint64_t before = clock_now();
    open_room(room, &b, 1);
    _secret_ struct secret *s = await_secret(room);
    uint64_t took = clock_now() - before;
    dialer_close(room->dialer);
    for (size_t i = 0; i < dns_count; i++)
        dns_stop(&dns[i]);
    for (size_t i = 0; i < count; i++)
        stop(&fakes[i]);
    assert_non_null(s);
    return took;
}

static void a_name_is_dialed(void **state)
{
    (void)state;
    struct room room = {0};
    struct dns_fake dns = {.four = 1};
    struct fake right = {.behaviour = RIGHT};
    race_named(&room, &dns, 1, &right, 1);
    assert_int_equal(room.line_count, 0);
}

/* C7: neither a server that does not know of AAAA, nor a dead one, nor liars, are waited for. */
static void bad_dns_is_no_long_delay(void **state)
{
    (void)state;
    struct dns_fake cases[][2] = {
        {{.four = 1, .silent_about_ipv6 = true}, {.four = 1}},
        {{.behaviour = DNS_SILENT}, {.four = 1}},
        {{.behaviour = DNS_NOISE}, {.four = 1}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct room room = {0};
        struct fake right = {.behaviour = RIGHT};
        assert_true(race_named(&room, cases[i], 2, &right, 1) < SECONDS(20));
    }
}

/* All at one port: the first three addresses are silent, of a stranger, and refusing. */
static void all_addresses_of_a_name_are_raced(void **state)
{
    (void)state;
    struct room room = {0};
    struct dns_fake dns = {.four = 4, .four_at = {{127, 0, 0, 2}, {127, 0, 0, 3}, {127, 0, 0, 4}}};
    struct fake fakes[] = {{.behaviour = RIGHT},
                           {.behaviour = SILENT, .address = 0x7f000002},
                           {.behaviour = WRONG_KEY, .address = 0x7f000003}};
    assert_true(race_named(&room, &dns, 1, fakes, 3) < SECONDS(5));
    assert_int_equal(fakes[2].connections, 1);
}

static void many_ipv6_addresses_do_not_keep_ipv4_out(void **state)
{
    (void)state;
    struct room room = {0};
    struct dns_fake dns = {.four = 1, .six = 4};
    struct fake fakes[] = {{.behaviour = RIGHT}, {.behaviour = SILENT, .family = AF_INET6}};
    race_named(&room, &dns, 1, fakes, 2);
    assert_in_range(room.connected, 1, 4); /* not all of IPv6 before it */
}

static void the_line_names_the_address_that_came_furthest(void **state)
{
    (void)state;
    struct room room = {.resolver.count = 1};
    struct dns_fake dns = {.four = 2, .four_at = {{127, 0, 0, 3}}};
    struct fake stranger = {.behaviour = WRONG_KEY, .address = 0x7f000003};
    struct broker_address b = {.host = "keys.example.org", .port = start(&stranger).port};
    room.resolver.servers[0] = dns_start(&dns);
    open_room(&room, &b, 1);
    await_lines(&room, 1);
    assert_true(was_said(&room, "broker 1 of 1 (keys.example.org port ",
                         "): 127.0.0.3: the broker's key is not one that is pinned; next try in"));
    dialer_close(room.dialer);
    dns_stop(&dns);
    stop(&stranger);
}

/* Resolved anew: what DNS says later counts. */
static void a_name_may_move(void **state)
{
    (void)state;
    struct room room = {.resolver.count = 1};
    struct dns_fake dns = {.behaviour = DNS_UNKNOWN, .four = 1};
    struct fake right = {.behaviour = RIGHT};
    struct broker_address b = {.host = "keys.example.org", .port = start(&right).port};
    room.resolver.servers[0] = dns_start(&dns);
    open_room(&room, &b, 1);
    await_lines(&room, 1);
    assert_true(was_said(&room, "broker 1 of 1", "DNS does not know the name; next try in"));
    dns.behaviour = DNS_ANSWERS;
    _secret_ struct secret *s = await_secret(&room);
    assert_non_null(s);
    dialer_close(room.dialer);
    dns_stop(&dns);
    stop(&right);
}

static void a_name_without_a_dns_server_does_not_delay_an_address(void **state)
{
    (void)state;
    struct room room = {0};
    struct fake right = {.behaviour = RIGHT};
    struct broker_address brokers[] = {{.host = "keys.example.org", .port = 1}, start(&right)};
    open_room(&room, brokers, 2);
    _secret_ struct secret *s = await_secret(&room);
    assert_non_null(s);
    assert_true(
        was_said(&room, "broker 1 of 2 (keys.example.org port 1)", "no DNS server is known"));
    dialer_close(room.dialer);
    stop(&right);
}

/* ---- bounds ---- */
static void the_console_is_not_flooded(void **state)
{
    (void)state;
    struct room room = {0};
    struct fake f = {.behaviour = REFUSED};
    struct broker_address b = start(&f);
    unsigned rounds = 60;
    open_room(&room, &b, 1);
    for (unsigned i = 0; i < rounds; i++, room.ahead += BACKOFF_MAX) {
        assert_null(turn(&room)); /* begins a round */
        for (uint64_t end = clock_now() + PATIENCE; clock_now() < end;) {
            uint64_t now = clock_now() + room.ahead; /* until it waits again */
            uint64_t wake = dialer_work(room.dialer, &room.resolver, now);
            if (wake != UINT64_MAX && wake > now + SECONDS(1) / 2)
                break;
            poll(NULL, 0, 1);
        }
    }
    assert_in_range(room.line_count, 5, 5 + rounds / 2 + 1);
    dialer_close(room.dialer);
    stop(&f);
}

static void closing_ends_what_runs(void **state)
{
    (void)state;
    struct room room = {0};
    struct dns_fake dns = {.behaviour = DNS_SILENT};
    struct fake fakes[] = {{.behaviour = SILENT}, {.behaviour = SILENT}};
    struct broker_address brokers[3] = {{.host = "keys.example.org", .port = 1}};
    room.resolver.servers[room.resolver.count++] = dns_start(&dns);
    for (size_t i = 0; i < 2; i++)
        brokers[i + 1] = start(&fakes[i]);
    open_room(&room, brokers, 3);
    for (uint64_t end = clock_now() + SECONDS(1); clock_now() < end;)
        assert_null(turn(&room));
    assert_int_equal(room.line_count, 0);
    uint64_t before = clock_now();
    dialer_close(room.dialer);
    assert_true(clock_now() - before < SECONDS(1)); /* 2 s: it gave up waiting */
    dns_stop(&dns);
    for (size_t i = 0; i < 2; i++)
        stop(&fakes[i]);
}

static void the_backoff_is_bounded_and_spread(void **state)
{
    (void)state;
    uint64_t before = 0;
    for (unsigned failures = 1; failures < 100; failures++) {
        uint64_t least = backoff_wait(failures, 0);
        uint64_t most = backoff_wait(failures, UINT32_MAX);
        uint64_t middle = backoff_wait(failures, UINT32_MAX / 2);
        assert_in_range(least, BACKOFF_MIN, BACKOFF_MAX / 2);
        assert_in_range(most, 2 * least - 1000, BACKOFF_MAX);
        assert_true(least < middle && middle < most);
        assert_true(most >= before);
        before = most;
    }
    assert_int_equal(backoff_wait(1, 0), BACKOFF_MIN);
    assert_int_equal(backoff_wait(99, UINT32_MAX) / SECONDS(1), 30);
}

/* ---- what an authenticated broker says ---- */
static void refusals_are_told(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *text;
    } cases[] = {
        {403, "{\"code\": \"denied\", \"id\": \"a1-b2\"}",
         "the broker refused (denied, status 403, id a1-b2)"},
        {403, "{\"code\": \"pending\", \"id\": \"7\"}",
         "the broker waits for an operator's approval (pending, status 403, id 7)"},
        {503, "{\"code\": \"unavailable\", \"id\": \"8\"}",
         "the broker cannot decide at present (unavailable, status 503, id 8)"},
        {503, "<html>", "the broker cannot decide at present (no code, status 503, id none)"},
        {404, "{\"code\": \"\\u001b[2J\", \"id\": 7}",
         "the broker refused (, status 404, id none)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        int r = release_refusal(cases[i].status, BYTES_STR(cases[i].body), &err);
        assert_int_equal(r, -EACCES);
        assert_string_equal(err.text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_bad_broker_delays_the_right_one),
        cmocka_unit_test(seven_bad_brokers_and_a_right_one),
        cmocka_unit_test(a_broker_that_hangs_is_overtaken),
        cmocka_unit_test(a_fleet_does_not_ask_every_broker),
        cmocka_unit_test(ipv6_addresses_are_dialed),
        cmocka_unit_test(a_broker_that_comes_up_is_found),
        cmocka_unit_test(a_refusal_is_told_and_tried_again),
        cmocka_unit_test(another_network_ends_the_backoff),
        cmocka_unit_test(a_name_is_dialed),
        cmocka_unit_test(bad_dns_is_no_long_delay),
        cmocka_unit_test(all_addresses_of_a_name_are_raced),
        cmocka_unit_test(many_ipv6_addresses_do_not_keep_ipv4_out),
        cmocka_unit_test(the_line_names_the_address_that_came_furthest),
        cmocka_unit_test(a_name_may_move),
        cmocka_unit_test(a_name_without_a_dns_server_does_not_delay_an_address),
        cmocka_unit_test(the_console_is_not_flooded),
        cmocka_unit_test(closing_ends_what_runs),
        cmocka_unit_test(the_backoff_is_bounded_and_spread),
        cmocka_unit_test(refusals_are_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
