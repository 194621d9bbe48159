#include "agent/console.h"

#include "base/io.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <termios.h>
#include <time.h>

static int console = -1;

void console_open(void)
{
    console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
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
    if (write_exact(console, line, size + 1) < 0)
        return; /* nobody to tell */
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
    if (console >= 0)
        tcdrain(console);
}
