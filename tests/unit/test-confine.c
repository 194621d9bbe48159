#include "unit.h"
#include "daemon/confine.h"
#include "daemon/sanitized.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BIT(role) (1u << (role))
#define GUESTS (BIT(ROLE_FRONT) | BIT(ROLE_APPRAISER))
#define STORES (BIT(ROLE_KEEPER) | BIT(ROLE_ADMIN))
#define ALL (BIT(ROLE_COUNT) - 1)

/* ---- what is tried: 0 if it worked, else an errno ---- */
static int pair[2]; /* connected sockets that were there before */

static int result(bool worked)
{
    return worked ? 0 : errno;
}

static int talk(void)
{
    char c = 'x';
    struct pollfd p = {.fd = pair[1], .events = POLLIN};
    return result(send(pair[0], &c, 1, MSG_NOSIGNAL) == 1 && poll(&p, 1, 1000) == 1 &&
                  recv(pair[1], &c, 1, 0) == 1 && write(pair[0], &c, 1) == 1 &&
                  read(pair[1], &c, 1) == 1);
}

static int use_memory(void)
{
    for (size_t n = 16; n < (size_t)64 << 20; n *= 4) {
        volatile char *p = malloc(n);
        if (!p)
            return ENOMEM;
        p[n - 1] = 1;
        free((void *)p);
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int use_library(void)
{
    static int many[4096];
    struct timespec t = {.tv_nsec = 1000};
    struct tm tm;
    char c;
    time_t now = time(NULL);
    qsort(many, ARRAY_SIZE(many), sizeof(many[0]), compare);
    gmtime_r(&now, &tm);
    return result(clock_gettime(CLOCK_BOOTTIME, &t) == 0 && getrandom(&c, 1, 0) == 1);
}

static int make_nonblocking(void)
{
    return result(fcntl(pair[0], F_SETFL, fcntl(pair[0], F_GETFL) | O_NONBLOCK) == 0);
}

static int open_file(void)
{
    return result(open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
}

static int make_socket(void)
{
    return result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
}

static int make_packet_socket(void)
{
    return result(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) >= 0);
}

static int connect_socket(void)
{
    struct sockaddr a = {.sa_family = AF_UNSPEC};
    return result(connect(pair[0], &a, sizeof(a)) == 0 || errno == EINVAL || errno == EOPNOTSUPP);
}

static int send_somewhere(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};
    return result(sendto(pair[0], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&a,
                         sizeof(a)) == 1 ||
                  errno == EISCONN);
}

static int accept_socket(void)
{
    return result(accept4(pair[0], NULL, NULL, 0) >= 0 || errno == EINVAL || errno == EOPNOTSUPP);
}

static int send_descriptor(void)
{
    struct iovec v = {.iov_base = pair, .iov_len = 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    return result(sendmsg(pair[0], &m, MSG_NOSIGNAL) == 1);
}

static int execute(void)
{
    char *argv[] = {(char *)"true", NULL};
    return result(execv("/bin/true", argv) == 0);
}

static int trace(void)
{
    return result(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0);
}

static int trace_by_number(void)
{
    return result(syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) == 0);
}

static pid_t parent;

static int signal_parent(void)
{
    return result(kill(parent, 0) == 0);
}

static int signal_parents_thread(void)
{
    return result(syscall(SYS_tgkill, parent, parent, 0) == 0);
}

static int signal_self(void)
{
    return result(kill(getpid(), 0) == 0);
}

static int read_parent(void)
{
    char c;
    struct iovec to = {&c, 1}, from = {&parent, 1};
    return result(process_vm_readv(parent, &to, 1, &from, 1, 0) == 1);
}

static int map_code(void)
{
    return result(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
                  MAP_FAILED);
}

static int make_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return result(mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0);
}

static int fork_child(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return result(pid > 0);
}

static int become_dumpable(void)
{
    return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
}

static int own_descriptor(void)
{
    return result(fcntl(pair[0], F_SETOWN, parent) == 0);
}

static void *thread(void *arg)
{
    free(malloc(100));
    return arg;
}

static int start_thread(void)
{
    pthread_t t;
    int r = pthread_create(&t, NULL, thread, NULL);
    return r ? r : pthread_join(t, NULL);
}

static int use_file(void)
{
    char name[] = "/tmp/encroot-test-XXXXXX", c = 'x';
    struct flock lock = {.l_type = F_WRLCK, .l_len = 1};
    int fd = mkostemp(name, O_CLOEXEC);
    bool ok = fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0 && pwrite(fd, &c, 1, 0) == 1 &&
              ftruncate(fd, 4096) == 0 && fsync(fd) == 0 && pread(fd, &c, 1, 0) == 1 &&
              close(fd) == 0;
    return result(unlink(name) == 0 && ok);
}

/* ---- */
static const struct attempt {
    const char *name;
    int (*run)(void);
    unsigned allowed; /* roles for which it works; all others are killed */
    unsigned refused; /* ... but these: it fails */
    bool sanitizer;   /* which needs it itself */
} attempts[] = {
    {"talk", talk, ALL},
    {"use memory", use_memory, ALL},
    {"use the C library", use_library, ALL},
    {"make a socket non-blocking", make_nonblocking, ALL},
    {"open a file", open_file, STORES, .sanitizer = true},
    {"write a file", use_file, STORES, .sanitizer = true},
    {"make a socket", make_socket, STORES},
    {"make a packet socket", make_packet_socket, 0},
    {"connect", connect_socket, STORES},
    {"send to an address", send_somewhere, STORES},
    {"accept", accept_socket, BIT(ROLE_GATE) | BIT(ROLE_ADMIN) | BIT(ROLE_MONITOR)},
    {"send a message", send_descriptor, BIT(ROLE_GATE) | STORES},
    {"execute", execute, 0},
    {"trace the parent", trace, 0, .sanitizer = true},
    {"be traced", trace_by_number, 0, .sanitizer = true},
    {"signal the parent", signal_parent, 0, .sanitizer = true},
    {"signal a thread of the parent", signal_parents_thread, 0, .sanitizer = true},
    {"signal itself", signal_self, 0, .sanitizer = true},
    {"read the parent's memory", read_parent, 0, .sanitizer = true},
    {"map code", map_code, 0, .refused = STORES},
    {"make code of data", make_code, 0, .refused = STORES},
    {"fork", fork_child, 0, .sanitizer = true},
    {"become dumpable", become_dumpable, 0, .sanitizer = true},
    {"direct signals of a descriptor", own_descriptor, 0},
    {"start a thread", start_thread, STORES, .sanitizer = true},
};

enum { WORKED = 0, FAILED = 1, NOT_CONFINED = 2 };

static int try_as(enum role role, const struct attempt *a)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct error err = {0};
        if (confine_early(role, &err) < 0 || confine(role, &err) < 0)
            _exit(NOT_CONFINED);
        _exit(a->run() == 0 ? WORKED : FAILED);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void check(enum role role, const struct attempt *a)
{
    int status = try_as(role, a);
    if (a->allowed & BIT(role)) {
        if (!WIFEXITED(status) || WEXITSTATUS(status) != WORKED)
            fail_msg("%s cannot %s: status %#x", role_name(role), a->name, status);
    } else if (a->refused & BIT(role)) {
        if (!WIFEXITED(status) || WEXITSTATUS(status) != FAILED)
            fail_msg("%s: %s: expected to be refused, status %#x", role_name(role), a->name,
                     status);
    } else if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
        fail_msg("%s: %s: expected SIGSYS, status %#x", role_name(role), a->name, status);
    }
}

static void each_role_can_do_what_it_needs_and_no_more(void **state)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    parent = getpid();
    for (enum role role = 0; role < ROLE_COUNT; role++)
        for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
            if (!(SANITIZED && attempts[i].sanitizer))
                check(role, &attempts[i]);
    close(pair[0]);
    close(pair[1]);
}

/* Without the filter each of them works, or fails for another reason: the test above sees it. */
static void attempts_do_not_kill_by_themselves(void **state)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    parent = getpid();
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(attempts[i].run() == 0 ? WORKED : FAILED);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status))
            fail_msg("%s: status %#x", attempts[i].name, status);
    }
    close(pair[0]);
    close(pair[1]);
}

static void abort_ends_by_abort(void **state)
{
    static const struct attempt a = {"abort", (int (*)(void))abort};
    int status = try_as(ROLE_FRONT, &a);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void early_takes_dumps_and_privileges(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct error err = {0};
        struct rlimit core;
        bool ok = confine_early(ROLE_APPRAISER, &err) == 0 &&
                  prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
                  prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
                  getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0;
        _exit(ok ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_role_can_do_what_it_needs_and_no_more),
        cmocka_unit_test(attempts_do_not_kill_by_themselves),
        cmocka_unit_test(abort_ends_by_abort),
        cmocka_unit_test(early_takes_dumps_and_privileges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
