/*
 * How a boot ends, with everything that the ending touches replaced: each test is a process of its
 * own that ends in a reboot() which only exits.
 */
#include "unit.h"
#include "agent/console.h"
#include "agent/ending.h"
#include "crypto/tls.h"

#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>

enum { REBOOTED = 42, POWERED_OFF, NEITHER };

static bool console_hangs;

static void hang(void)
{
    for (;;)
        pause();
}

/* In place of libc's: a disk that never answers. */
void sync(void)
{
    hang();
}

int reboot(int how)
{
    _exit(how == RB_AUTOBOOT ? REBOOTED : how == (int)RB_POWER_OFF ? POWERED_OFF : NEITHER);
}

/* In place of console.c's. */
void say(const char *fmt, ...)
{
    (void)fmt;
    if (console_hangs)
        hang();
}

void console_drain(void)
{
}

/* What became of the machine; a signal's number if it hung. */
static int fate(void (*boot)(void))
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        alarm(20);
        boot();
        _exit(NEITHER);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
}

static void fail_early(void)
{
    end_boot("no configuration");
}

static void until_a_configuration_is_read_it_powers_off(void **state)
{
    (void)state;
    assert_int_equal(fate(fail_early), POWERED_OFF);
}

static void fail_later(void)
{
    ending_set_action(AGENT_REBOOT);
    end_boot("%s", "a root filesystem that does not mount");
}

/* sync() hangs: the host has taken the disk away. */
static void it_does_as_configured(void **state)
{
    (void)state;
    assert_int_equal(fate(fail_later), REBOOTED);
}

static void wait_too_long(void)
{
    ending_set_action(AGENT_REBOOT);
    assert_int_equal(ending_start_deadline(clock_now() + SECONDS(1) / 10), 0);
    hang();
}

static void the_deadline_ends_the_boot(void **state)
{
    (void)state;
    assert_int_equal(fate(wait_too_long), REBOOTED);
}

static void wait_with_a_dead_console(void)
{
    console_hangs = true;
    wait_too_long();
}

static void a_console_that_hangs_does_not_hold_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(fate(wait_with_a_dead_console), REBOOTED);
}

static void fail_with_a_dead_console(void)
{
    console_hangs = true;
    assert_int_equal(ending_start_deadline(clock_now() + SECONDS(1)), 0);
    end_boot("never said, and never over");
}

/* The one that ends the boot hangs, and will not let another end it. */
static void an_ending_that_hangs_does_not_hold_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(fate(fail_with_a_dead_console), POWERED_OFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(until_a_configuration_is_read_it_powers_off),
        cmocka_unit_test(it_does_as_configured),
        cmocka_unit_test(the_deadline_ends_the_boot),
        cmocka_unit_test(a_console_that_hangs_does_not_hold_the_deadline),
        cmocka_unit_test(an_ending_that_hangs_does_not_hold_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
