#include "agent/ending.h"

#include "agent/console.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/reboot.h>
#include <time.h>

#define LAST_WORDS_SECONDS 4 /* more than the console's own limits together */

static atomic_int failure_action = AGENT_POWEROFF;
static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

void ending_set_action(enum agent_failure_action action)
{
    failure_action = (int)action;
}

static bool restarts(void)
{
    return failure_action == AGENT_REBOOT;
}

/* No sync(): nothing of ours waits to be written, and a disk that the host took away would hold
 * it for ever. */
_Noreturn static void stop_machine(void)
{
    reboot(restarts() ? RB_AUTOBOOT : RB_POWER_OFF);
    reboot(RB_HALT_SYSTEM); /* a machine that cannot do either stays down */
    for (;;)
        pause();
}

_Noreturn void end_boot(const char *fmt, ...)
{
    pthread_mutex_lock(&once); /* never unlocked: a second caller waits for the end */
    char text[ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    say("giving up: %s", text);
    say("%s", restarts() ? "rebooting" : "powering off");
    console_drain();
    stop_machine();
}

static uint64_t the_deadline;

static void *give_up(void *arg)
{
    (void)arg;
    end_boot("the deadline has passed");
}

/* Others do the talking: this thread waits for nothing that could hang. */
static void *wait_for_deadline(void *arg)
{
    pthread_t speaker;
    (void)arg;
    struct timespec t = {.tv_sec = (time_t)(the_deadline / 1000000000u),
                         .tv_nsec = (long)(the_deadline % 1000000000u)};
    while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &t, NULL) != 0)
        ;
    if (pthread_create(&speaker, NULL, give_up, NULL) == 0)
        nanosleep(&(struct timespec){.tv_sec = LAST_WORDS_SECONDS}, NULL);
    stop_machine();
}

int ending_start_deadline(uint64_t deadline)
{
    pthread_t thread;
    the_deadline = deadline;
    int e = pthread_create(&thread, NULL, wait_for_deadline, NULL);
    if (e)
        return -e;
    pthread_detach(thread);
    return 0;
}
