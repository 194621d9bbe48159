#include "tmm/child.h"

#include "base/io.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static int become_background(void)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (nowhere < 0 || dup2(nowhere, 0) < 0 || dup2(nowhere, 1) < 0 || dup2(nowhere, 2) < 0)
        return -errno;
    return setpgid(0, 0) < 0 ? -errno : 0;
}

static int become(const struct child *c, pid_t parent)
{
    sigset_t none;

    sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    if (getppid() != parent) /* it ended before the line above took effect */
        return -ESRCH;
    int r = c->background ? become_background() : 0;
    if (r < 0)
        return r;
    for (size_t i = 0; i < c->keep_count; i++)
        if (fcntl(c->keep[i], F_SETFD, 0) < 0)
            return -errno;
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
        return -errno;
    execvp(c->argv[0], c->argv);
    return -errno;
}

int child_start(pid_t *ret, const struct child *c, struct error *err)
{
    int pipe_fds[2];
    pid_t parent = getpid();
    int failure = 0;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_errno(err, errno, "%s", c->argv[0]);
    pid_t pid = fork();
    if (pid == 0) {
        failure = -become(c, parent);
        (void)!write(pipe_fds[1], &failure, sizeof(failure));
        _exit(127);
    }
    int fork_error = errno;
    close(pipe_fds[1]);
    if (pid < 0) {
        close(pipe_fds[0]);
        return error_errno(err, fork_error, "%s: cannot start", c->argv[0]);
    }
    /* The pipe closes by itself when the program is executed. */
    int r = read_exact(pipe_fds[0], &failure, sizeof(failure));
    close(pipe_fds[0]);
    if (r == 0) {
        (void)waitpid(pid, NULL, 0);
        return error_errno(err, failure, "%s: cannot start", c->argv[0]);
    }
    *ret = pid;
    return 0;
}
