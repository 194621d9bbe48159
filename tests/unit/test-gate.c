#include "unit.h"
#include "broker_wires.h"
#include "ticks.h"
#include "crypto/certificate_verify.h"
#include "crypto/tls_identity.h"
#include "daemon/handoff.h"

#include <openssl/evp.h>

static struct broker_files files;

struct gate_test {
    struct role_process p;
    uint16_t port;
    size_t fronts;
};

static void start_gate(struct gate_test *t, size_t fronts)
{
    uint16_t port;
    t->fronts = fronts;
    add_wire(&t->p, WIRE_CONTROL);
    add_wire(&t->p, WIRE_PEERS);
    for (size_t i = 0; i < fronts; i++) {
        add_wire(&t->p, WIRE_SIGN);
        add_wire(&t->p, WIRE_HANDOFF);
    }
    port = add_listener(&t->p);
    t->port = port;
    start_role(&t->p, ROLE_GATE, &files.config, gate_run);
}

static struct channel *sign_wire(struct gate_test *t, size_t front)
{
    return &t->p.ends[WIRE_SIGN][front];
}

static struct channel *peers(struct gate_test *t)
{
    return &t->p.ends[WIRE_PEERS][0];
}

static int try_connect(const struct gate_test *t)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(t->port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int guest(const struct gate_test *t)
{
    int fd = try_connect(t);
    assert_true(fd >= 0);
    return fd;
}

/* What a front is handed; its socket. */
static int take(struct gate_test *t, size_t front, uint64_t *number, struct message_connection *m)
{
    struct error e = {0};
    struct pollfd p = {.fd = t->p.ends[WIRE_HANDOFF][front].fd, .events = POLLIN};
    int fd = -1;
    assert_int_equal(poll(&p, 1, 30000), 1);
    assert_int_equal(handoff_receive(p.fd, number, m, &fd, &e), 1);
    return fd;
}

/* Accepted, told, handed out: its number, with the guest's end in *ret_guest. */
static uint64_t connection(struct gate_test *t, int *ret_guest)
{
    struct message_connection told, handed;
    uint64_t number;
    *ret_guest = guest(t);
    struct frame f = expect_frame(peers(t), MESSAGE_CONNECTION);
    uint64_t told_number = f.connection;
    assert_int_equal(f.body.size, sizeof(told));
    memcpy(&told, f.body.data, sizeof(told));
    int fd = take(t, told.worker, &number, &handed);
    assert_int_equal(number, told_number);
    assert_memory_equal(&told, &handed, sizeof(told));
    close(fd);
    return number;
}

static size_t sign(struct gate_test *t, size_t front, uint64_t number, uint32_t size,
                   uint8_t ret[128])
{
    struct message_sign m = {.size = size};
    memset(m.hash, 0x5a, sizeof(m.hash));
    put_frame(sign_wire(t, front), MESSAGE_SIGN, number, &m, sizeof(m));
    struct frame f = expect_frame(sign_wire(t, front), MESSAGE_SIGNATURE);
    assert_int_equal(f.connection, number);
    assert_true(f.body.size <= 128);
    if (f.body.size)
        memcpy(ret, f.body.data, f.body.size);
    return f.body.size;
}

static bool verifies(struct bytes message, struct bytes signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok =
        EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, files.identity->key) == 1 &&
        EVP_DigestVerify(ctx, signature.data, signature.size, message.data, message.size) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* ---- tests ---- */
static void a_connection_gets_one_signature(void **state)
{
    (void)state;
    struct gate_test t = {0};
    int fd;
    uint8_t der[128], hash[48], message[CERTIFICATE_VERIFY_MAX];
    size_t size;
    start_gate(&t, 1);
    memset(hash, 0x5a, sizeof(hash));
    static const uint32_t sizes[] = {32, 48};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint64_t number = connection(&t, &fd);
        size_t n = sign(&t, 0, number, sizes[i], der);
        assert_true(n > 0);
        assert_int_equal(certificate_verify_put(BYTES(hash, sizes[i]), message, &size), 0);
        assert_true(verifies(BYTES(message, size), BYTES(der, n)));
        assert_int_equal(sign(&t, 0, number, sizes[i], der), 0); /* twice */
        put_frame(sign_wire(&t, 0), MESSAGE_ENDED, number, NULL, 0);
        assert_int_equal(sign(&t, 0, number, sizes[i], der), 0); /* afterwards */
        close(fd);
    }
    stop_role(&t.p);
}

static void nothing_but_a_transcript_hash_is_signed(void **state)
{
    (void)state;
    struct gate_test t = {0};
    uint8_t der[128];
    int fd;
    start_gate(&t, 1);
    static const uint32_t sizes[] = {0, 1, 20, 31, 33, 47, 49, 64, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint64_t number = connection(&t, &fd);
        assert_int_equal(sign(&t, 0, number, sizes[i], der), 0);
        assert_int_equal(sign(&t, 0, number, 32, der), 0); /* the one is spent */
        close(fd);
    }
    stop_role(&t.p);
}

static void a_front_signs_for_its_own_connections_only(void **state)
{
    (void)state;
    struct gate_test t = {0};
    struct message_connection m;
    uint64_t numbers[2];
    uint8_t der[128];
    int guests[2];
    start_gate(&t, 2);
    for (int i = 0; i < 2; i++) {
        guests[i] = guest(&t);
        struct frame f = expect_frame(peers(&t), MESSAGE_CONNECTION);
        memcpy(&m, f.body.data, sizeof(m));
        numbers[m.worker] = f.connection; /* the least loaded front: one each */
        close(take(&t, m.worker, &f.connection, &m));
    }
    assert_int_equal(sign(&t, 0, numbers[1], 32, der), 0);
    assert_int_equal(sign(&t, 1, numbers[0], 32, der), 0);
    static const uint64_t unknown[] = {0, 1, 63, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
        assert_int_equal(sign(&t, 0, unknown[i], 32, der), 0);
    put_frame(sign_wire(&t, 0), MESSAGE_ENDED, numbers[1], NULL, 0); /* nor ends others' */
    assert_true(sign(&t, 0, numbers[0], 32, der) > 0);
    assert_true(sign(&t, 1, numbers[1], 32, der) > 0);
    close(guests[0]);
    close(guests[1]);
    stop_role(&t.p);
}

static void malformed_frames_give_the_front_up(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        size_t size;
    } frames[] = {
        {MESSAGE_SIGN, 0},
        {MESSAGE_SIGN, sizeof(struct message_sign) - 1},
        {MESSAGE_SIGN, sizeof(struct message_sign) + 1},
        {MESSAGE_SIGN, CHANNEL_FRAME_MAX},
        {MESSAGE_ENDED, 1},
        {MESSAGE_SIGN_CHECKPOINT, sizeof(struct message_checkpoint)}, /* the keeper's alone */
        {MESSAGE_DECISION, 4},
        {MESSAGE_NONE, 0},
        {4711, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
        struct gate_test t = {0};
        struct error e = {0};
        _free_ uint8_t *body = calloc(1, CHANNEL_FRAME_MAX);
        struct bytes part = BYTES(body, frames[i].size);
        start_gate(&t, 2);
        if (channel_send(sign_wire(&t, 1), frames[i].type, 1, &part, 1, &e) < 0)
            assert_int_equal(e.code, EPIPE);
        assert_ended_badly(&t.p);
        close_ends(&t.p, false);
    }
}

static void half_a_frame_is_waited_for(void **state)
{
    (void)state;
    struct gate_test t = {0};
    uint8_t der[128];
    int fd;
    start_gate(&t, 2);
    assert_int_equal(send(sign_wire(&t, 1)->fd, "\3\0\0", 3, MSG_NOSIGNAL), 3);
    uint64_t number = connection(&t, &fd); /* others are served */
    assert_true(sign(&t, 0, number, 32, der) > 0);
    close(fd);
    stop_role(&t.p);
}

static void checkpoints_are_signed_for_the_keeper(void **state)
{
    (void)state;
    struct gate_test t = {0};
    struct message_checkpoint m = {.sequence = 0x0102030405060708, .time = 0x1112131415161718};
    memset(m.hash, 7, sizeof(m.hash));
    uint8_t expected[28 + 8 + 32 + 8] = "encroot audit checkpoint v1";
    memcpy(expected + 28, "\1\2\3\4\5\6\7\10", 8);
    memcpy(expected + 36, m.hash, 32);
    memcpy(expected + 68, "\21\22\23\24\25\26\27\30", 8);
    start_gate(&t, 1);
    put_frame(peers(&t), MESSAGE_SIGN_CHECKPOINT, 0, &m, sizeof(m));
    struct frame f = expect_frame(peers(&t), MESSAGE_SIGNATURE);
    assert_true(verifies(BYTES_OF(expected), f.body));
    const struct message_sign transcript = {.size = 32};
    put_frame(peers(&t), MESSAGE_SIGN, 0, &transcript, sizeof(transcript)); /* a front's alone */
    assert_ended_badly(&t.p);
    close_ends(&t.p, false);
}

static void peers_are_named_by_the_kernel(void **state)
{
    (void)state;
    struct gate_test t = {0};
    struct sockaddr_in a;
    socklen_t n = sizeof(a);
    char expected[64];
    start_gate(&t, 1);
    int fd = guest(&t);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    snprintf(expected, sizeof(expected), "127.0.0.1 port %u", ntohs(a.sin_port));
    struct frame f = expect_frame(peers(&t), MESSAGE_CONNECTION);
    assert_string_equal(((const struct message_connection *)f.body.data)->peer, expected);
    close(fd);
    stop_role(&t.p);
}

static bool is_closed(int fd)
{
    char byte;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 30000) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

static void too_many_are_closed_at_once(void **state)
{
    (void)state;
    struct gate_test t = {0};
    int guests[4], late;
    uint64_t numbers[4];
    files.config.max_connections = 4;
    uint64_t shed = metrics_get(METRIC_CONNECTIONS_SHED);
    start_gate(&t, 2);
    for (int i = 0; i < 4; i++)
        numbers[i] = connection(&t, &guests[i]);
    late = guest(&t);
    assert_true(is_closed(late));
    close(late);
    assert_int_equal(metrics_get(METRIC_CONNECTIONS_SHED), shed + 1);
    uint64_t ended = metrics_get(METRIC_CONNECTIONS_ENDED);
    for (size_t front = 0; front < 2; front++) /* one of them has it */
        put_frame(sign_wire(&t, front), MESSAGE_ENDED, numbers[0], NULL, 0);
    for (uint64_t until = clock_now() + SECONDS(20); clock_now() < until; usleep(1000))
        if (metrics_get(METRIC_CONNECTIONS_ENDED) != ended)
            break;
    assert_int_equal(metrics_get(METRIC_CONNECTIONS_ENDED), ended + 1);
    uint64_t again = connection(&t, &late); /* there is room again, and a new number */
    for (int i = 0; i < 4; i++)
        assert_true(again != numbers[i]);
    close(late);
    for (int i = 0; i < 4; i++)
        close(guests[i]);
    files.config.max_connections = 64;
    stop_role(&t.p);
}

/* A descriptor limit that leaves no room for another socket. */
static void without_descriptors_it_waits_without_spinning(void **state)
{
    (void)state;
    struct gate_test t = {0};
    uint8_t der[128];
    /* Below all that it has: what is open stays open, and accept fails until there is room. */
    t.p.descriptors = 64;
    start_gate(&t, 1);
    int fd;
    uint64_t number = connection(&t, &fd);
    struct rlimit none = {2, 64}; /* fewer than poll is to look at, too */
    assert_int_equal(prlimit(t.p.pid, RLIMIT_NOFILE, &none, NULL), 0);
    int waits = guest(&t);
    unsigned long before = ticks(t.p.pid);
    struct pollfd p = {.fd = peers(&t)->fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 1000), 0);        /* not accepted */
    assert_true(ticks(t.p.pid) - before < 50);     /* of 100 */
    assert_true(sign(&t, 0, number, 32, der) > 0); /* others are served */
    assert_int_equal(prlimit(t.p.pid, RLIMIT_NOFILE, &(struct rlimit){64, 64}, NULL), 0);
    assert_int_equal(expect_frame(peers(&t), MESSAGE_CONNECTION).body.size,
                     sizeof(struct message_connection));
    close(waits);
    close(fd);
    stop_role(&t.p);
}

/* A keeper that waits for its store: guests wait, and the gate lives. */
static void a_keeper_that_is_busy_is_waited_for(void **state)
{
    (void)state;
    struct gate_test t = {0};
    enum { MOST = 20000 };
    unsigned handed = 0;
    start_gate(&t, 1);
    for (; handed < MOST; handed++) {
        int fd = guest(&t);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        uint64_t number;
        struct message_connection m;
        struct pollfd p = {.fd = t.p.ends[WIRE_HANDOFF][0].fd, .events = POLLIN};
        bool waits = poll(&p, 1, 1000) != 1;
        if (!waits) {
            close(take(&t, 0, &number, &m));
            put_frame(sign_wire(&t, 0), MESSAGE_ENDED, number, NULL, 0);
        }
        close(fd);
        if (waits)
            break;
    }
    assert_true(handed < MOST);
    for (unsigned i = 0; i < handed; i++) {
        struct frame f;
        assert_int_equal(channel_wait(peers(&t), &f, clock_now() + PATIENCE, NULL), 0);
    }
    assert_true(role_is_alive(&t.p));
    stop_role(&t.p);
}

/* A front that takes nothing: connections wait in the backlog, and go to the other one. */
static void a_front_that_takes_nothing_is_passed_over(void **state)
{
    (void)state;
    struct gate_test t = {0};
    enum { MANY = 900 };
    static int guests[MANY];
    unsigned taken = 0;
    files.config.max_connections = MANY + 1;
    start_gate(&t, 2);
    for (int i = 0; i < MANY; i++)
        guests[i] = guest(&t);
    while (taken <= MANY / 4) { /* more than its turn, when the other's wire is full */
        struct pollfd p = {.fd = t.p.ends[WIRE_HANDOFF][1].fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 30000), 1);
        uint64_t number;
        struct message_connection m;
        close(take(&t, 1, &number, &m));
        put_frame(sign_wire(&t, 1), MESSAGE_ENDED, number, NULL, 0);
        taken++;
    }
    assert_true(role_is_alive(&t.p));
    for (int i = 0; i < MANY; i++)
        close(guests[i]);
    files.config.max_connections = 64;
    stop_role(&t.p);
}

static void draining_ends_with_the_last_connection(void **state)
{
    (void)state;
    struct gate_test t = {0};
    uint8_t der[128];
    int fd;
    start_gate(&t, 1);
    uint64_t number = connection(&t, &fd);
    put_frame(&t.p.ends[WIRE_CONTROL][0], MESSAGE_DRAIN, 0, NULL, 0);
    /*
     * Whoever dials before the gate has read the message is let in, and is waited for: so none
     * does. It was there when the first question was seen: behind the second, it has been read.
     */
    assert_true(sign(&t, 0, number, 32, der) > 0);
    assert_int_equal(sign(&t, 0, number, 32, der), 0);
    assert_int_equal(try_connect(&t), -1);
    assert_true(role_is_alive(&t.p));
    put_frame(sign_wire(&t, 0), MESSAGE_ENDED, number, NULL, 0);
    assert_ended_well(&t.p);
    close(fd);
    close_ends(&t.p, false);
}

static void a_gate_without_connections_drains_at_once(void **state)
{
    (void)state;
    struct gate_test t = {0};
    start_gate(&t, 1);
    put_frame(&t.p.ends[WIRE_CONTROL][0], MESSAGE_DRAIN, 0, NULL, 0);
    assert_ended_well(&t.p);
    close_ends(&t.p, false);
}

static void the_end_of_others_is_its_own(void **state)
{
    (void)state;
    static const enum wire wires[] = {WIRE_PEERS, WIRE_SIGN};
    for (size_t i = 0; i < ARRAY_SIZE(wires); i++) {
        struct gate_test t = {0};
        start_gate(&t, 1);
        channel_free(&t.p.ends[wires[i]][0]);
        assert_ended_badly(&t.p);
        close_ends(&t.p, false);
    }
}

static void a_key_that_tls_does_not_take_is_refused(void **state)
{
    (void)state;
    struct gate_test t = {0};
    struct error e = {0};
    struct daemon_config c = files.config;
    char missing[96];
    snprintf(missing, sizeof(missing), "%s/none.key", files.folder);
    c.key = missing;
    add_wire(&t.p, WIRE_CONTROL);
    add_wire(&t.p, WIRE_PEERS);
    add_wire(&t.p, WIRE_SIGN);
    add_wire(&t.p, WIRE_HANDOFF);
    add_listener(&t.p);
    t.p.child.config = &c;
    pid_t pid = fork();
    if (pid == 0) {
        int r = gate_run(&t.p.child, &e);
        _exit(r < 0 && strstr(e.text, missing) ? 7 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7); /* the error names the file */
    close_ends(&t.p, true);
    close_ends(&t.p, false);
}

static int set_up(void **state)
{
    int fd;
    struct error e = {0};
    (void)state;
    signal(SIGPIPE, SIG_IGN);
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
        cmocka_unit_test(a_connection_gets_one_signature),
        cmocka_unit_test(nothing_but_a_transcript_hash_is_signed),
        cmocka_unit_test(a_front_signs_for_its_own_connections_only),
        cmocka_unit_test(malformed_frames_give_the_front_up),
        cmocka_unit_test(half_a_frame_is_waited_for),
        cmocka_unit_test(checkpoints_are_signed_for_the_keeper),
        cmocka_unit_test(peers_are_named_by_the_kernel),
        cmocka_unit_test(too_many_are_closed_at_once),
        cmocka_unit_test(without_descriptors_it_waits_without_spinning),
        cmocka_unit_test(a_keeper_that_is_busy_is_waited_for),
        cmocka_unit_test(a_front_that_takes_nothing_is_passed_over),
        cmocka_unit_test(draining_ends_with_the_last_connection),
        cmocka_unit_test(a_gate_without_connections_drains_at_once),
        cmocka_unit_test(the_end_of_others_is_its_own),
        cmocka_unit_test(a_key_that_tls_does_not_take_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
