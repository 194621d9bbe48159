#include "cli/progress.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t cancelled;

static struct {
    bool draw;
    const char *unit;
    char phase[64];
    double started; /* seconds, of this phase */
    uint64_t first; /* what was done then */
    bool drawn;
} state;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

const char *size_text(uint64_t bytes, char out[SIZE_TEXT])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes;
    size_t i = 0;
    for (; v >= 1024 && i < ARRAY_SIZE(units) - 1; i++)
        v /= 1024;
    snprintf(out, SIZE_TEXT, i && v < 100 ? "%.1f %s" : "%.0f %s", v, units[i]);
    return out;
}

#define AMOUNT_TEXT 48
static const char *amount_text(uint64_t n, char out[AMOUNT_TEXT])
{
    if (!state.unit)
        return size_text(n, out);
    snprintf(out, AMOUNT_TEXT, "%" PRIu64 " %s", n, state.unit);
    return out;
}

static int report(void *arg, const char *phase, uint64_t done, uint64_t total)
{
    (void)arg;
    if (cancelled)
        return -ECANCELED;
    if (!state.draw || total == 0)
        return 0;
    if (strcmp(phase, state.phase) != 0) {
        snprintf(state.phase, sizeof(state.phase), "%s", phase);
        state.started = now();
        state.first = done;
    }
    double seconds = now() - state.started;
    double rate = seconds > 0.2 ? (double)(done - state.first) / seconds : 0;
    char size[AMOUNT_TEXT], speed[AMOUNT_TEXT], left[32] = "";
    if (rate > 0 && done < total)
        snprintf(left, sizeof(left), ", %.0f s left", (double)(total - done) / rate);
    fprintf(stderr, "\r%s: %3" PRIu64 " %% of %s, %s/s%s\033[K", phase, done * 100 / total,
            amount_text(total, size), amount_text((uint64_t)rate, speed), left);
    state.drawn = true;
    return 0;
}

struct progress terminal_progress(bool quiet, const char *unit)
{
    memset(&state, 0, sizeof(state));
    state.draw = !quiet && isatty(STDERR_FILENO);
    state.unit = unit;
    return (struct progress){.report = report};
}

void terminal_progress_end(void)
{
    if (state.drawn)
        fputs("\r\033[K", stderr);
    state.drawn = false;
}

static void on_signal(int signal)
{
    (void)signal;
    cancelled = 1;
}

void cancel_on_signals(void)
{
    struct sigaction once = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &once, NULL);
    sigaction(SIGTERM, &once, NULL);
    sigaction(SIGHUP, &once, NULL);
}
