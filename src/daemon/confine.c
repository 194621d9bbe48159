#include "daemon/confine.h"
#include "daemon/sanitized.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

/* ---- early ---- */
#define LOCK_ENOUGH ((rlim_t)1 << 30)

/* Through which the secret of a volume or the broker's key passes. */
static const bool holds_secrets[ROLE_COUNT] = {
    [ROLE_GATE] = true, [ROLE_FRONT] = true, [ROLE_KEEPER] = true, [ROLE_ADMIN] = true};

/*
 * The limit counts addresses, not pages in use, and all that is mapped beyond it fails: so either
 * there is plenty of it, or nothing but struct secret is locked. (Sanitizers map terabytes.)
 */
bool confine_locks_memory(void)
{
    struct rlimit limit;
    return !SANITIZED && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_max >= LOCK_ENOUGH;
}

static int lock_memory(struct error *err)
{
    struct rlimit limit;
    if (!confine_locks_memory())
        return 0;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_MEMLOCK, &limit);
    }
    return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0
               ? error_errno(err, errno, "mlockall")
               : 0;
}

int confine_early(enum role role, struct error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_errno(err, errno, "prctl");
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
        return error_errno(err, errno, "RLIMIT_CORE");
    return holds_secrets[role] ? lock_memory(err) : 0;
}

/* ---- the filter ---- */
#define GATE (1u << ROLE_GATE)
#define FRONT (1u << ROLE_FRONT)
#define APPRAISER (1u << ROLE_APPRAISER)
#define KEEPER (1u << ROLE_KEEPER)
#define ADMIN (1u << ROLE_ADMIN)
#define MONITOR (1u << ROLE_MONITOR)
#define STORES (KEEPER | ADMIN) /* SQLite's files, PostgreSQL's sockets, PKCS#11 modules */
#define SERVES (GATE | ADMIN | MONITOR)
#define ALL ((1u << ROLE_COUNT) - 1)

/* An argument that is an int: the kernel looks at its lower half only. */
#define INT_IS(argument, n)                                                                        \
    .when = {argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, n}, .conditional = true
#define WITHOUT(argument, bits) .when = {argument, SCMP_CMP_MASKED_EQ, bits, 0}, .conditional = true

#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

struct rule {
    const char *call;
    unsigned roles;
    bool conditional;
    struct scmp_arg_cmp when;
    int refuse; /* fails with this errno instead of being allowed */
};

/*
 * Names that an architecture or a libseccomp does not have are passed over. The C library picks
 * among several calls for one purpose by its version and by the architecture (epoll_wait and
 * epoll_pwait, fstat and newfstatat): all are here.
 */
static const struct rule rules[] = {
    /* descriptors that are there */
    {"read", ALL},
    {"readv", ALL},
    {"write", ALL},
    {"writev", ALL},
    {"recvfrom", ALL},
    /* No address: with one, and MSG_FASTOPEN, it connects what was a listening socket. */
    {"sendto", GATE | FRONT | APPRAISER | MONITOR, .when = {4, SCMP_CMP_EQ, 0},
     .conditional = true},
    {"sendto", STORES},
    {"shutdown", ALL},
    {"close", ALL},
    {"ioctl", ALL, INT_IS(1, FIONREAD)}, /* libevent: how much can be read */
    {"fcntl", ALL, INT_IS(1, F_GETFD)},
    {"fcntl", ALL, INT_IS(1, F_SETFD)},
    {"fcntl", ALL, INT_IS(1, F_GETFL)},
    {"fcntl", ALL, INT_IS(1, F_SETFL)},
    {"fcntl", ALL, INT_IS(1, F_DUPFD_CLOEXEC)},
    {"epoll_ctl", ALL},
    {"epoll_wait", ALL},
    {"epoll_pwait", ALL},
    {"epoll_pwait2", ALL},
    {"poll", ALL},
    {"ppoll", ALL},
    /* memory */
    {"brk", ALL},
    {"mmap", ALL, WITHOUT(2, PROT_EXEC)},
    {"mprotect", ALL, WITHOUT(2, PROT_EXEC)},
    {"munmap", ALL},
    {"mremap", ALL},
    {"madvise", ALL},
    {"mlock", ALL},
    {"mlock2", ALL},
    {"munlock", ALL},
    /* A name service or a token that loads a library late goes without it, and lives. */
    {"mmap", STORES, .when = {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC}, .conditional = true,
     .refuse = EPERM},
    {"mprotect", STORES, .when = {2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC}, .conditional = true,
     .refuse = EPERM},
    /* itself */
    {"futex", ALL},
    {"sched_yield", ALL},
    {"sched_getaffinity", ALL}, /* malloc, when threads meet */
    {"sysinfo", ALL},           /* qsort */
    {"clock_gettime", ALL},
    {"clock_getres", ALL},
    {"gettimeofday", ALL},
    {"time", ALL},
    {"nanosleep", ALL},
    {"clock_nanosleep", ALL},
    {"getrandom", ALL},
    {"getpid", ALL},
    {"gettid", ALL},
    {"rt_sigaction", ALL},
    {"rt_sigprocmask", ALL},
    {"rt_sigreturn", ALL},
    {"restart_syscall", ALL},
    {"exit", ALL},
    {"exit_group", ALL},
    /* sockets that come */
    {"recvmsg", FRONT | STORES},
    {"sendmsg", GATE | STORES},
    {"accept", SERVES},
    {"accept4", SERVES},
    {"getsockname", SERVES | STORES},
    {"getpeername", SERVES | STORES},
    {"getsockopt", SERVES | STORES},
    {"setsockopt", SERVES | STORES},
    /* sockets that go, and what looking up a name takes */
    {"socket", STORES, INT_IS(0, AF_UNIX)},
    {"socket", STORES, INT_IS(0, AF_INET)},
    {"socket", STORES, INT_IS(0, AF_INET6)},
    {"socket", STORES, INT_IS(0, AF_NETLINK)},
    {"connect", STORES},
    {"bind", STORES},
    {"sendmmsg", STORES},
    {"recvmmsg", STORES},
    {"uname", STORES},
    {"select", STORES},
    {"pselect6", STORES},
    {"rt_sigpending", STORES}, /* libpq and SIGPIPE */
    {"rt_sigtimedwait", STORES},
    /* files */
    {"open", STORES},
    {"openat", STORES},
    {"access", STORES},
    {"faccessat", STORES},
    {"faccessat2", STORES},
    {"stat", STORES},
    {"lstat", STORES},
    {"fstat", STORES},
    {"newfstatat", STORES},
    {"statx", STORES},
    {"statfs", STORES},
    {"fstatfs", STORES},
    {"readlink", STORES},
    {"readlinkat", STORES},
    {"getdents64", STORES},
    {"getcwd", STORES},
    {"lseek", STORES},
    {"pread64", STORES},
    {"pwrite64", STORES},
    {"fsync", STORES},
    {"fdatasync", STORES},
    {"ftruncate", STORES},
    {"fallocate", STORES},
    {"fadvise64", STORES},
    {"unlink", STORES},
    {"unlinkat", STORES},
    {"fchmod", STORES},
    {"fchown", STORES},
    {"umask", STORES},
    {"flock", STORES},
    {"fcntl", STORES, INT_IS(1, F_DUPFD)},
    {"fcntl", STORES, INT_IS(1, F_GETLK)},
    {"fcntl", STORES, INT_IS(1, F_SETLK)},
    {"fcntl", STORES, INT_IS(1, F_SETLKW)},
    {"fcntl", STORES, INT_IS(1, F_OFD_GETLK)},
    {"fcntl", STORES, INT_IS(1, F_OFD_SETLK)},
    {"fcntl", STORES, INT_IS(1, F_OFD_SETLKW)},
    {"ioctl", STORES, INT_IS(1, TCGETS)}, /* stdio: is it a terminal? */
    {"getuid", STORES},
    {"geteuid", STORES},
    {"getgid", STORES},
    {"getegid", STORES},
    {"getppid", STORES},
    {"getrusage", STORES},
    {"prlimit64", STORES, .when = {2, SCMP_CMP_EQ, 0}, .conditional = true}, /* only asks */
    {"eventfd2", STORES},
    {"pipe2", STORES},
    {"epoll_create1", STORES},
    /* threads of a PKCS#11 module. The flags of clone3 cannot be seen: glibc takes clone then. */
    {"clone", STORES, .when = {0, SCMP_CMP_MASKED_EQ, CLONE_THREAD | NAMESPACES, CLONE_THREAD},
     .conditional = true},
    {"clone3", STORES, .refuse = ENOSYS},
    {"set_robust_list", STORES},
    {"rseq", STORES},
#if SANITIZED
    /* reports, and the search for leaks at the end, which traces the process itself */
    {"open", ALL},
    {"openat", ALL},
    {"mkdir", ALL},
    {"readlink", ALL},
    {"readlinkat", ALL},
    {"fstat", ALL},
    {"newfstatat", ALL},
    {"lseek", ALL},
    {"getdents", ALL},
    {"getdents64", ALL},
    {"sigaltstack", ALL},
    {"ioctl", ALL, INT_IS(1, TCGETS)},
    {"prctl", ALL},
    {"clone", ALL},
    {"ptrace", ALL},
    {"wait4", ALL},
    {"process_vm_readv", ALL},
    {"getppid", ALL},
    {"prlimit64", ALL},
    {"uname", ALL},
    {"set_robust_list", ALL},
    {"rseq", ALL},
    {"kill", ALL},
    {"tgkill", ALL},
    {"pipe", ALL},
    {"pipe2", ALL},
#endif
};

/* abort() and no more: no signal reaches another process. */
static int allow_abort(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2,
                            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()),
                            SCMP_A2(SCMP_CMP_EQ, SIGABRT));
}

static int add_rule(scmp_filter_ctx filter, const struct rule *rule, struct error *err)
{
    uint32_t action = rule->refuse ? SCMP_ACT_ERRNO((uint32_t)rule->refuse) : SCMP_ACT_ALLOW;
    int call = seccomp_syscall_resolve_name(rule->call);
    if (call < 0)
        return 0;
    int r = seccomp_rule_add_array(filter, action, call, rule->conditional, &rule->when);
    return r < 0 ? error_errno(err, -r, "%s", rule->call) : 0;
}

static int fill(scmp_filter_ctx filter, enum role role, struct error *err)
{
    int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0)
        r = allow_abort(filter);
    if (r < 0)
        return error_errno(err, -r, "libseccomp");
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rules); i++)
        if (rules[i].roles & (1u << role))
            r = add_rule(filter, &rules[i], err);
    return r;
}

int confine(enum role role, struct error *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return error_set(err, ENOMEM, "seccomp filter of %s: out of memory", role_name(role));
    tzset(); /* reads /etc/localtime, which gmtime_r would do later */
    int r = fill(filter, role, err);
    if (r == 0) {
        r = seccomp_load(filter);
        if (r < 0)
            error_hint(err, error_errno(err, -r, "loading it"),
                       "the kernel must have CONFIG_SECCOMP_FILTER");
    }
    seccomp_release(filter);
    return r < 0 ? error_prefix(err, r, "seccomp filter of %s", role_name(role)) : 0;
}
