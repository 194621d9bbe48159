/* The agent's console, on a pseudo-terminal whose other side is the host. */
#include "unit.h"
#include "agent/console.h"
#include "crypto/tls.h"

#include <fcntl.h>
#include <poll.h>
#include <termios.h>

struct host {
    int fd;
    char name[64];
};

static int plug_in(void **state)
{
    struct host *h = calloc(1, sizeof(*h));
    h->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (h->fd < 0 || grantpt(h->fd) < 0 || unlockpt(h->fd) < 0 ||
        ptsname_r(h->fd, h->name, sizeof(h->name)) != 0)
        return -1;
    alarm(60); /* what hangs fails */
    *state = h;
    return 0;
}

static int unplug(void **state)
{
    struct host *h = *state;
    close(h->fd);
    free(h);
    return 0;
}

static size_t read_some(const struct host *h, char ret[4096])
{
    struct pollfd p = {.fd = h->fd, .events = POLLIN};
    ssize_t n = poll(&p, 1, 2000) > 0 ? read(h->fd, ret, 4095) : 0;
    ret[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* Among echoes and what was said before. */
static bool hears(const struct host *h, const char *expected)
{
    char text[4096];
    while (read_some(h, text) > 0)
        if (strstr(text, expected))
            return true;
    return false;
}

static void what_is_said_arrives(void **state)
{
    struct host *h = *state;
    console_open(h->name);
    say("one\x1b[2J %d", 2);
    console_drain();
    assert_true(hears(h, "] encroot: one?[2J 2\r\n"));
}

static void press_ctrl_s(const struct host *h)
{
    assert_int_equal(write(h->fd, "\x13", 1), 1);
    usleep(100000); /* the kernel takes it in later; a stop is not echoed */
}

static void ctrl_s_stops_nothing(void **state)
{
    struct host *h = *state;
    /* Pressed before the agent came, too. */
    int slave = open(h->name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    press_ctrl_s(h);
    console_open(h->name);
    press_ctrl_s(h);
    say("still here");
    assert_true(hears(h, "still here"));
    close(slave);
}

static bool stops_at_ctrl_s(const struct host *h)
{
    struct termios t;
    assert_int_equal(tcgetattr(h->fd, &t), 0);
    return t.c_iflag & IXON;
}

static void the_guest_finds_flow_control_as_it_was(void **state)
{
    struct host *h = *state;
    assert_true(stops_at_ctrl_s(h));
    console_open(h->name);
    assert_false(stops_at_ctrl_s(h));
    console_restore();
    assert_true(stops_at_ctrl_s(h));
}

/* A9: nobody reads. */
static void a_full_console_holds_nobody_up(void **state)
{
    struct host *h = *state;
    char text[4096];
    console_open(h->name);
    uint64_t start = clock_now();
    for (int i = 0; i < 2000; i++)
        say("line %d of very many that nobody at the other end of this terminal takes away", i);
    console_drain();
    assert_true(clock_now() - start < SECONDS(10));
    /* And it speaks again when the host listens. */
    while (read_some(h, text) > 0)
        ;
    say("once more");
    assert_true(hears(h, "once more"));
}

static void without_a_console_nothing_happens(void **state)
{
    (void)state;
    console_open("/nowhere/console");
    say("nobody hears this");
    console_drain();
    console_restore();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, plug_in, unplug)
    const struct CMUnitTest tests[] = {
        TEST(what_is_said_arrives),
        TEST(ctrl_s_stops_nothing),
        TEST(the_guest_finds_flow_control_as_it_was),
        TEST(a_full_console_holds_nobody_up),
        TEST(without_a_console_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
