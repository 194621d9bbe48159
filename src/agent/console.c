#include "agent/console.h"

#include "crypto/tls.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

#define PATIENCE SECONDS(1)
#define NAP_NANOSECONDS 10000000

static int console = -1;
static bool changed;
static struct termios before;
static atomic_bool stuck;

void console_open(const char *path)
{
    struct termios t;
    console = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    changed = false;
    if (console < 0 || tcgetattr(console, &t) < 0)
        return; /* no terminal has no flow control */
    before = t;
    t.c_iflag &= ~(tcflag_t)IXON;
    changed = tcsetattr(console, TCSANOW, &t) == 0;
}

void console_restore(void)
{
    if (changed && tcsetattr(console, TCSANOW, &before) < 0)
        return; /* the guest's own set-up mends it */
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = NAP_NANOSECONDS}, NULL);
}

/* poll() would not do: a terminal that is stopped may call itself writable. */
static void put(const char *p, size_t n)
{
    uint64_t until = clock_now() + (stuck ? 0 : PATIENCE);
    while (n > 0) {
        ssize_t done = write(console, p, n);
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        } else if (done < 0 && errno == EINTR) {
            continue;
        } else if (done < 0 && errno != EAGAIN) {
            return; /* nobody to tell */
        } else if (clock_now() >= until) {
            stuck = true;
            return;
        } else {
            nap();
        }
    }
    stuck = false;
}

/* One write a line, so that lines of different threads do not mix. */
static void write_line(const char *text)
{
    char line[ERROR_TEXT_MAX + 128];
    struct timespec t = {0};
    clock_gettime(CLOCK_BOOTTIME, &t);
    int n = snprintf(line, sizeof(line) - 2, "[%5lld.%06ld] encroot: %s", (long long)t.tv_sec,
                     t.tv_nsec / 1000, text);
    if (n < 0 || console < 0)
        return;
    size_t size = (size_t)n < sizeof(line) - 3 ? (size_t)n : sizeof(line) - 3;
    for (size_t i = 0; i < size; i++)
        if (iscntrl((unsigned char)line[i]))
            line[i] = '?';
    line[size] = '\n';
    put(line, size + 1);
}

void say(const char *fmt, ...)
{
    char text[ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    write_line(text);
}

void say_error(const struct error *err, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    say("%s: %s", text, err->text);
    if (err->hint[0])
        say("  %s", err->hint);
}

void console_drain(void)
{
    uint64_t until = clock_now() + PATIENCE;
    int left = 0;
    while (console >= 0 && !stuck && ioctl(console, TIOCOUTQ, &left) == 0 && left > 0 &&
           clock_now() < until)
        nap();
    nap(); /* what the device itself still holds */
}
