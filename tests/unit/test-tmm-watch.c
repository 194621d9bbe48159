/*
 * The TPM watch on a real TPM: swtpm behind it, this test in QEMU's place. What the watch has
 * recorded must be what the TPM itself says of its registers.
 */
#include "unit.h"

#include "base/error.h"
#include "tmm/child.h"
#include "tmm/registers.h"
#include "tmm/tpm_state.h"
#include "tmm/tpm_watch.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct fixture {
    char folder[64];
    struct tpm_state state;
    pid_t swtpm;
    int control, swtpm_control, qemu_control; /* ours as QEMU; the watch's two */
    int data;                                 /* ours as QEMU */
    struct registers registers;
    struct tpm_watch watch;
};

/* Send, let the watch work until the answer is there, receive. Negative when the watch gave up. */
static ssize_t exchange(struct fixture *f, int fd, const void *p, size_t n, void *answer,
                        size_t max)
{
    assert_int_equal(send(fd, p, n, 0), n);
    for (int i = 0; i < 200; i++) {
        struct pollfd fds[TPM_WATCH_FDS + 1];
        struct error err = {0};

        tpm_watch_prepare(&f->watch, fds);
        fds[TPM_WATCH_FDS] = (struct pollfd){fd, POLLIN, 0};
        if (poll(fds, ARRAY_SIZE(fds), 5000) <= 0)
            fail_msg("no answer");
        if (fds[TPM_WATCH_FDS].revents)
            return recv(fd, answer, max, 0);
        int r = tpm_watch_handle(&f->watch, fds, &err);
        if (r != 0)
            return r < 0 ? r : -EPIPE;
    }
    fail_msg("the watch goes round in circles");
    return -1;
}

static uint32_t control(struct fixture *f, uint32_t code, size_t request_size)
{
    uint8_t request[16] = {0}, answer[16];

    put_be32(request, code);
    assert_true(exchange(f, f->control, request, request_size, answer, sizeof(answer)) >= 4);
    return control_result(answer);
}

static void pass_data_fd(struct fixture *f)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } c = {.space = {0}};
    uint8_t request[4] = {0, 0, 0, CONTROL_SET_DATAFD}, answer[4];
    struct iovec iov = {request, 3}; /* the last byte follows: a request in two parts */
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
    struct pollfd fds[TPM_WATCH_FDS];
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CMSG_FIRSTHDR(&message)->cmsg_level = SOL_SOCKET;
    CMSG_FIRSTHDR(&message)->cmsg_type = SCM_RIGHTS;
    CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &pair[1], sizeof(int));
    assert_int_equal(sendmsg(f->control, &message, 0), 3);
    close(pair[1]);
    tpm_watch_prepare(&f->watch, fds);
    assert_true(poll(fds, TPM_WATCH_FDS, 1000) > 0);
    assert_int_equal(tpm_watch_handle(&f->watch, fds, NULL), 0);
    assert_int_equal(exchange(f, f->control, request + 3, 1, answer, 4), 4);
    assert_int_equal(control_result(answer), 0);
    f->data = pair[0];
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int swtpm_pair[2], qemu_pair[2];
    char dir[PATH_MAX + 8], ctrl[64];
    struct error err = {0};

    snprintf(f->folder, sizeof(f->folder), "/tmp/encroot-test-tpm-XXXXXX");
    if (!mkdtemp(f->folder) || tpm_state_open(&f->state, f->folder, true, &err) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, swtpm_pair) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qemu_pair) < 0)
        return -1;
    snprintf(dir, sizeof(dir), "dir=%s", f->state.path);
    snprintf(ctrl, sizeof(ctrl), "type=unixio,clientfd=%d", swtpm_pair[1]);
    char *const argv[] = {"swtpm", "socket", "--tpm2", "--tpmstate", dir, "--ctrl", ctrl, NULL};
    int r = child_start(
        &f->swtpm,
        &(struct child){.argv = argv, .keep = &swtpm_pair[1], .keep_count = 1, .background = true},
        &err);
    close(swtpm_pair[1]);
    f->swtpm_control = swtpm_pair[0];
    f->control = qemu_pair[0];
    f->qemu_control = qemu_pair[1];
    f->data = -1;
    registers_init(&f->registers, NULL);
    tpm_watch_init(&f->watch, f->qemu_control, f->swtpm_control, &f->registers);
    *state = f;
    if (r == -ENOENT)
        f->swtpm = 0;
    else if (r < 0)
        return -1;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->swtpm > 0) {
        kill(f->swtpm, SIGKILL);
        waitpid(f->swtpm, NULL, 0);
    }
    tpm_watch_free(&f->watch);
    close(f->control);
    close(f->qemu_control);
    close(f->swtpm_control);
    if (f->data >= 0)
        close(f->data);
    tpm_state_close(&f->state);
    if (rmdir(f->folder) < 0)
        return -1; /* something was left behind */
    free(f);
    return 0;
}

static struct fixture *powered(void **state)
{
    struct fixture *f = *state;

    if (f->swtpm == 0) {
        print_message("swtpm is not installed\n");
        skip();
    }
    pass_data_fd(f);
    assert_int_equal(control(f, CONTROL_INIT, 8), 0);
    return f;
}

/* ---- TPM commands ---- */

struct command {
    uint8_t bytes[512];
    size_t size;
};

static void put(struct command *c, uint64_t value, int size)
{
    while (size-- > 0)
        c->bytes[c->size++] = (uint8_t)(value >> (8 * size));
}

static struct command begin(uint16_t tag, uint32_t code)
{
    struct command c = {.size = 0};

    put(&c, tag, 2);
    put(&c, 0, 4);
    put(&c, code, 4);
    return c;
}

/* `n` empty passwords. */
static void put_passwords(struct command *c, unsigned n)
{
    put(c, 9u * n, 4);
    for (; n > 0; n--) {
        put(c, 0x40000009, 4);
        put(c, 0, 5);
    }
}

/* Returns the response code; the response stays in `answer`. */
static uint32_t tpm(struct fixture *f, struct command c, uint8_t answer[4096], size_t *ret_size)
{
    put_be32(c.bytes + 2, (uint32_t)c.size);
    ssize_t n = exchange(f, f->data, c.bytes, c.size, answer, 4096);
    assert_true(n >= TPM_HEADER_SIZE);
    if (ret_size)
        *ret_size = (size_t)n;
    return tpm_message_code(BYTES(answer, (size_t)n));
}

static uint32_t startup(struct fixture *f, uint16_t type)
{
    struct command c = begin(0x8001, 0x144);
    uint8_t answer[4096];

    put(&c, type, 2);
    return tpm(f, c, answer, NULL);
}

static uint32_t shutdown_state(struct fixture *f)
{
    struct command c = begin(0x8001, 0x145);
    uint8_t answer[4096];

    put(&c, 1, 2);
    return tpm(f, c, answer, NULL);
}

static uint32_t extend(struct fixture *f, uint32_t pcr, uint8_t fill)
{
    struct command c = begin(0x8002, 0x182);
    uint8_t answer[4096];

    put(&c, pcr, 4);
    put_passwords(&c, 1);
    put(&c, 2, 4);
    put(&c, 0x0004, 2);
    for (int i = 0; i < 20; i++)
        put(&c, 0xee, 1);
    put(&c, 0x000b, 2);
    for (int i = 0; i < 32; i++)
        put(&c, fill, 1);
    return tpm(f, c, answer, NULL);
}

/* PCR_Allocate: the banks SHA-1 and SHA-256, the latter with `mask` of its first eight PCRs. */
static uint32_t allocate(struct fixture *f, uint8_t mask)
{
    struct command c = begin(0x8002, 0x12b);
    uint8_t answer[4096];

    put(&c, 0x4000000c, 4); /* TPM_RH_PLATFORM */
    put_passwords(&c, 1);
    put(&c, 2, 4);
    put(&c, 0x000403ffffff, 6);
    put(&c, 0x000b03, 3);
    put(&c, mask, 1);
    put(&c, 0xffff, 2);
    return tpm(f, c, answer, NULL);
}

static uint32_t event(struct fixture *f, uint32_t pcr)
{
    struct command c = begin(0x8002, 0x13c);
    uint8_t answer[4096];

    put(&c, pcr, 4);
    put_passwords(&c, 1);
    put(&c, 3, 2);
    put(&c, 0x616263, 3);
    return tpm(f, c, answer, NULL);
}

static uint32_t event_sequence(struct fixture *f, uint32_t pcr)
{
    struct command start = begin(0x8001, 0x186), complete = begin(0x8002, 0x185);
    uint8_t answer[4096];

    put(&start, 0, 2);      /* no authorisation value */
    put(&start, 0x0010, 2); /* TPM_ALG_NULL: an event sequence */
    assert_int_equal(tpm(f, start, answer, NULL), 0);
    struct reader r = reader_of(BYTES(answer + 10, 4));
    put(&complete, pcr, 4);
    put(&complete, read_be32(&r), 4);
    put_passwords(&complete, 2);
    put(&complete, 5, 2);
    put(&complete, 0x68656c6c6f, 5);
    return tpm(f, complete, answer, NULL);
}

/* The TPM's own word for its SHA-256 bank. */
static void read_pcr(struct fixture *f, uint32_t pcr, uint8_t ret[32])
{
    struct command c = begin(0x8001, 0x17e);
    uint8_t answer[4096];
    size_t n;

    put(&c, 1, 4);
    put(&c, 0x000b, 2);
    put(&c, 3, 1);
    for (uint32_t i = 0; i < 3; i++)
        put(&c, pcr / 8 == i ? 1u << pcr % 8 : 0, 1);
    assert_int_equal(tpm(f, c, answer, &n), 0);
    assert_int_equal(n, 10 + 4 + 10 + 4 + 2 + 32);
    memcpy(ret, answer + n - 32, 32);
}

static void assert_mirrored(struct fixture *f)
{
    uint8_t value[32];

    for (uint32_t pcr = 0; pcr < 17; pcr++) {
        read_pcr(f, pcr, value);
        if (memcmp(value, f->registers.pcr[pcr], 32) != 0)
            fail_msg("PCR %u of the TPM differs from what was watched", pcr);
    }
}

/* ---- tests ---- */

static void test_mirror_equals_the_tpm(void **state)
{
    struct fixture *f = powered(state);

    assert_non_null(registers_unknown(&f->registers));
    assert_int_equal(startup(f, 0), 0);
    assert_null(registers_unknown(&f->registers));
    assert_mirrored(f);
    assert_int_equal(extend(f, 0, 0x11), 0);
    assert_int_equal(extend(f, 4, 0x22), 0);
    assert_int_equal(extend(f, 4, 0x33), 0);
    assert_int_equal(event(f, 5), 0);
    assert_int_equal(event_sequence(f, 9), 0);
    assert_int_equal(extend(f, 9, 0x44), 0);
    assert_int_equal(extend(f, 16, 0x55), 0);
    assert_mirrored(f);
    assert_int_equal(f->registers.extends, 6);
    assert_false(bytes_are_zero(f->registers.rem[1], 32));
    assert_false(bytes_are_zero(f->registers.rem[2], 32));
    assert_true(bytes_are_zero(f->registers.rem[0], 32));
    assert_null(registers_unknown(&f->registers));
}

static void test_what_the_tpm_refuses_does_not_count(void **state)
{
    struct fixture *f = powered(state);
    struct registers before;

    assert_int_equal(extend(f, 4, 0x22), 0x100); /* TPM_RC_INITIALIZE */
    assert_true(bytes_are_zero(f->registers.rem, sizeof(f->registers.rem)));
    assert_int_equal(startup(f, 0), 0);
    before = f->registers;
    assert_int_not_equal(extend(f, 17, 0x22), 0); /* wrong locality */
    assert_int_not_equal(extend(f, 24, 0x22), 0); /* no such PCR */
    assert_memory_equal(f->registers.rem, before.rem, sizeof(before.rem));
    assert_null(registers_unknown(&f->registers));
    assert_mirrored(f);
}

/* A command whose stated size is a lie must not let a second one slip past unseen. */
static void test_hidden_command(void **state)
{
    struct fixture *f = powered(state);
    uint8_t answer[4096];

    assert_int_equal(startup(f, 0), 0);
    for (int lie = -5; lie <= 5; lie++) {
        struct command c = begin(0x8001, 0x144);
        put(&c, 0, 2);
        put_be32(c.bytes + 2, (uint32_t)((int)c.size + lie));
        ssize_t n = exchange(f, f->data, c.bytes, c.size, answer, sizeof(answer));
        assert_int_equal(n, 10);
        if (lie != 0)
            assert_int_equal(tpm_message_code(BYTES(answer, 10)), TPM_RC_COMMAND_SIZE);
    }
    assert_int_equal(exchange(f, f->data, "\x80", 1, answer, sizeof(answer)), 10);
    assert_int_equal(extend(f, 4, 0x22), 0);
    assert_mirrored(f);
}

static void test_reset_and_resume(void **state)
{
    struct fixture *f = powered(state);

    assert_int_equal(startup(f, 0), 0);
    assert_int_equal(extend(f, 4, 0x22), 0);
    assert_int_equal(shutdown_state(f), 0);
    assert_int_equal(control(f, CONTROL_INIT, 8), 0);
    assert_true(bytes_are_zero(f->registers.rem, sizeof(f->registers.rem)));
    assert_non_null(registers_unknown(&f->registers));
    /* The TPM goes on with its registers; ours are empty. Nothing may be attested now. */
    assert_int_equal(startup(f, 1), 0);
    assert_non_null(registers_unknown(&f->registers));
    assert_int_equal(extend(f, 4, 0x22), 0);
    assert_non_null(registers_unknown(&f->registers));
    assert_int_equal(control(f, CONTROL_INIT, 8), 0);
    assert_int_equal(startup(f, 0), 0);
    assert_null(registers_unknown(&f->registers));
    assert_mirrored(f);
}

/*
 * With its bank off, extends still succeed and the TPM keeps none of them: an evil system could
 * write any history. So the bank stays on.
 */
static void test_bank_cannot_be_switched_off(void **state)
{
    struct fixture *f = powered(state);

    assert_int_equal(startup(f, 0), 0);
    assert_int_equal(allocate(f, 0x00), TPM_RC_COMMAND_CODE);
    assert_int_equal(allocate(f, 0xef), TPM_RC_COMMAND_CODE);
    assert_int_equal(allocate(f, 0xff), 0);
    assert_int_equal(control(f, CONTROL_INIT, 8), 0);
    assert_int_equal(startup(f, 0), 0);
    assert_int_equal(extend(f, 4, 0x22), 0);
    assert_mirrored(f);
}

/* The capabilities that would let QEMU move a TPM's state are hidden; the commands are refused. */
static void test_state_cannot_be_loaded(void **state)
{
    struct fixture *f = powered(state);
    uint8_t request[4] = {0, 0, 0, CONTROL_GET_CAPABILITY}, answer[16];
    uint8_t set_state[16] = {0, 0, 0, 0x0d};

    assert_int_equal(exchange(f, f->control, request, 4, answer, sizeof(answer)), 8);
    assert_int_equal(answer[6] & 3, 0);
    assert_int_not_equal(answer[6], 0);
    assert_int_equal(exchange(f, f->control, set_state, 16, answer, sizeof(answer)), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mirror_equals_the_tpm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_the_tpm_refuses_does_not_count, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_hidden_command, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset_and_resume, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bank_cannot_be_switched_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_state_cannot_be_loaded, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
