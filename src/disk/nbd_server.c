#include "disk/nbd_server.h"
#include "base/io.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* What the child has where: sd_listen_fds(3) asks for the socket at 3. */
enum { LISTEN_FD = 3, IMAGE_FD = 4, ABOVE = 16 };
#define OPTIONS "driver=qcow2,file.driver=file,file.filename=/proc/self/fd/4"

static int make_address(struct sockaddr_un *address, int folder)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/s", folder);
    return n < (int)sizeof(address->sun_path) ? 0 : -ENAMETOOLONG;
}

static int connect_all(int listener, const struct sockaddr_un *address, int *sockets, size_t count)
{
    const struct sockaddr *to = (const struct sockaddr *)address;
    if (bind(listener, to, sizeof(*address)) < 0 || listen(listener, (int)count) < 0)
        return -errno;
    for (size_t i = 0; i < count; i++) {
        sockets[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sockets[i] < 0 || connect(sockets[i], to, sizeof(*address)) < 0)
            return -errno;
    }
    return 0;
}

/*
 * The socket has a name only while we connect to it, in a folder that only we can enter; the
 * connections wait in its queue for the server. An abstract socket would be open to every process
 * of the machine, and a file that stays would be left behind by SIGKILL.
 */
static int make_connections(int listener, int *sockets, size_t count, struct error *err)
{
    const char *tmp = getenv("TMPDIR");
    _free_ char *path = NULL;
    if (asprintf(&path, "%s/encroot-XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0)
        return error_set(err, ENOMEM, "out of memory");
    if (!mkdtemp(path))
        return error_errno(err, errno, "%s: making a temporary folder", path);
    _close_ int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct sockaddr_un address;
    int r = folder < 0 ? -errno : make_address(&address, folder);
    if (r == 0) {
        r = connect_all(listener, &address, sockets, count);
        unlinkat(folder, "s", 0);
    }
    rmdir(path);
    return r < 0 ? error_errno(err, -r, "%s: connecting a unix socket", path) : 0;
}

_Noreturn static void child(char *const argv[], int listener, int image, int errors)
{
    char pid[32];
    snprintf(pid, sizeof(pid), "LISTEN_PID=%d", (int)getpid());
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
    char *env[] = {(char *)"LC_ALL=C", path, (char *)"LISTEN_FDS=1", pid, NULL};
    /* Out of the way of 0 to 4 first. */
    listener = fcntl(listener, F_DUPFD_CLOEXEC, ABOVE);
    image = fcntl(image, F_DUPFD_CLOEXEC, ABOVE);
    errors = fcntl(errors, F_DUPFD_CLOEXEC, ABOVE);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(errors, 2) < 0 ||
        dup2(listener, LISTEN_FD) < 0 || dup2(image, IMAGE_FD) < 0)
        _exit(126);
    close_range(IMAGE_FD + 1, ~0U, 0);
    /* ^C is for us to handle: a server that vanishes first would look like a broken image. */
    setpgid(0, 0);
    environ = env;
    execvp(argv[0], argv);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static pid_t start(int listener, int image, int errors, size_t count)
{
    char shared[24];
    snprintf(shared, sizeof(shared), "--shared=%zu", count);
    const char *const argv[] = {"qemu-nbd", "--image-opts", shared, "--read-only", OPTIONS, NULL};
    pid_t pid = fork();
    if (pid == 0)
        child((char *const *)argv, listener, image, errors);
    return pid;
}

int nbd_server_start(struct nbd_server *s, int image, int *sockets, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        sockets[i] = -1;
    *s = NBD_SERVER_NONE;
    _close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    _close_ int errors = memfd_create("qemu-nbd stderr", MFD_CLOEXEC);
    if (listener < 0 || errors < 0)
        return error_errno(err, errno, "starting qemu-nbd");
    int r = make_connections(listener, sockets, count, err);
    if (r == 0) {
        s->pid = start(listener, image, errors, count);
        r = s->pid < 0 ? error_errno(err, errno, "starting qemu-nbd: fork") : 0;
    }
    if (r < 0) {
        for (size_t i = 0; i < count; i++)
            if (sockets[i] >= 0)
                close(TAKE_FD(sockets[i]));
        return r;
    }
    s->errors = TAKE_FD(errors);
    return 0;
}

void nbd_server_stop(struct nbd_server *s)
{
    while (s->pid > 0 && waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (s->errors >= 0)
        close(s->errors);
    *s = NBD_SERVER_NONE;
}

void nbd_server_message(const struct nbd_server *s, char *ret, size_t size)
{
    char tail[1024];
    struct stat st;
    ret[0] = '\0';
    if (fstat(s->errors, &st) < 0)
        return;
    off_t skip = st.st_size < (off_t)sizeof(tail) ? 0 : st.st_size - (off_t)sizeof(tail) + 1;
    ssize_t n = pread(s->errors, tail, sizeof(tail) - 1, skip);
    while (n > 0 && (tail[n - 1] == '\n' || tail[n - 1] == '\r'))
        n--;
    if (n <= 0)
        return;
    tail[n] = '\0';
    const char *line = strrchr(tail, '\n');
    snprintf(ret, size, "%s", line ? line + 1 : tail);
}
