/*
 * Preloaded into a command, to see what a crash leaves. DIE_AT_FSYNC=N: SIGKILL instead of the Nth
 * fsync; each is told on stderr. DIE_AT_WRITE=N: likewise. FAIL_AT_RENAME=N: the Nth rename fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_now(const char *variable, int *count)
{
    const char *at = getenv(variable);
    if (at)
        dprintf(STDERR_FILENO, "%s: %d\n", variable, ++*count);
    return at && *count == strtol(at, NULL, 10);
}

int fsync(int fd)
{
    static int count;
    if (is_now("DIE_AT_FSYNC", &count))
        kill(getpid(), SIGKILL);
    return (int)syscall(SYS_fsync, fd);
}

ssize_t write(int fd, const void *p, size_t n)
{
    static int count;
    if (is_now("DIE_AT_WRITE", &count))
        kill(getpid(), SIGKILL);
    return syscall(SYS_write, fd, p, n);
}

int rename(const char *from, const char *to)
{
    static int count;
    if (!is_now("FAIL_AT_RENAME", &count))
        return renameat(AT_FDCWD, from, AT_FDCWD, to);
    errno = EIO;
    return -1;
}
