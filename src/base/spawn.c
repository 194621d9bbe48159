#include "base/spawn.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PATHS "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

/* Input goes through an unlinked memory file: no deadlock between writing and reading. */
static int input_file(struct bytes in)
{
    int fd = memfd_create("stdin", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (size_t at = 0; at < in.size;) {
        ssize_t n = write(fd, in.data + at, in.size - at);
        if (n < 0) {
            int code = errno;
            close(fd);
            return -code;
        }
        at += (size_t)n;
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void child(const char *const argv[], const char *const extra_env[], int keep_fd, int in,
                  int out, int errors)
{
    char *env[16] = {(char *)"LC_ALL=C", (char *)PATHS};
    for (size_t i = 0; extra_env && extra_env[i] && i < ARRAY_SIZE(env) - 3; i++)
        env[i + 2] = (char *)extra_env[i];
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0)
        _exit(126);
    if (keep_fd >= 0 && fcntl(keep_fd, F_SETFD, 0) < 0)
        _exit(126);
    if (keep_fd < 0)
        close_range(3, ~0U, 0);
    else {
        if (keep_fd > 3)
            close_range(3, (unsigned)keep_fd - 1, 0);
        close_range((unsigned)keep_fd + 1, ~0U, 0);
    }
    putenv((char *)PATHS); /* for execvpe's own search */
    execvpe(argv[0], (char **)argv, env);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Read both pipes until both end. Keeps the last part of stderr. */
static int collect(int out_fd, int err_fd, struct buffer *out, char *tail, size_t tail_size)
{
    struct pollfd fds[2] = {{.fd = out_fd, .events = POLLIN}, {.fd = err_fd, .events = POLLIN}};
    size_t len = 0;
    int result = 0;
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < 2; i++) {
            if (fds[i].fd < 0 || !fds[i].revents)
                continue;
            char chunk[4096];
            ssize_t n = read(fds[i].fd, chunk, sizeof(chunk));
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0) {
                fds[i].fd = -1;
            } else if (i == 0 && result == 0) {
                result = buffer_append(out, chunk, (size_t)n);
            } else if (i == 1) {
                size_t take = (size_t)n < tail_size - 1 ? (size_t)n : tail_size - 1;
                if (len + take > tail_size - 1) {
                    size_t drop = len + take - (tail_size - 1);
                    memmove(tail, tail + drop, len - drop);
                    len -= drop;
                }
                memcpy(tail + len, chunk + n - take, take);
                len += take;
            }
        }
    }
    tail[len] = '\0';
    return result;
}

static const char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        text[--n] = '\0';
    const char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

int spawn_wait(const char *const argv[], const char *const extra_env[], int keep_fd,
               struct bytes in, struct buffer *out, struct error *err)
{
    _close_ int input = input_file(in);
    if (input < 0)
        return error_errno(err, -input, "%s: preparing its input", argv[0]);
    int out_pipe[2] = {-1, -1};
    int err_pipe[2];
    if (out ? pipe2(out_pipe, O_CLOEXEC)
            : (out_pipe[1] = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0)
        return error_errno(err, errno, "%s: pipe", argv[0]);
    _close_ int out_read = out_pipe[0];
    _close_ int out_write = out_pipe[1];
    if (pipe2(err_pipe, O_CLOEXEC) < 0)
        return error_errno(err, errno, "%s: pipe", argv[0]);
    _close_ int err_read = err_pipe[0];
    _close_ int err_write = err_pipe[1];

    pid_t pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "%s: fork", argv[0]);
    if (pid == 0)
        child(argv, extra_env, keep_fd, input, out_write, err_write);
    close(TAKE_FD(out_write));
    close(TAKE_FD(err_write));

    char tail[1024];
    int r = collect(out_read, err_read, out, tail, sizeof(tail));
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return error_errno(err, errno, "%s: wait", argv[0]);
    if (r < 0)
        return error_errno(err, -r, "%s: reading its output", argv[0]);
    if (WIFSIGNALED(status))
        return error_set(err, EIO, "%s: killed by signal %d", argv[0], WTERMSIG(status));
    if (WEXITSTATUS(status) == 127)
        return error_set(err, ENOENT, "%s", last_line(tail));
    if (WEXITSTATUS(status) != 0)
        error_set(err, EIO, "%s: exit status %d: %s", argv[0], WEXITSTATUS(status),
                  last_line(tail));
    return WEXITSTATUS(status);
}
