/* How much a process does. */
#ifndef ENCROOT_TESTS_TICKS_H
#define ENCROOT_TESTS_TICKS_H

#include "base/bytes.h"
#include "base/io.h"

/* CPU time of a process, in clock ticks. */
static inline unsigned long ticks(pid_t pid)
{
    char path[64];
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    _fclose_ FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(
        fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel),
        2);
    return user + kernel;
}

#endif
