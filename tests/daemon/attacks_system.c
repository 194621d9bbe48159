/* System calls: each must kill the front, or fail. */
#include "attacks.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

/* Only whoever is still alive gets here. */
static void outcome(const struct attack *a, bool done)
{
    attack_report(a, done, done ? "it was done" : strerror(errno));
}

static void try_open(const struct attack *a, const char *path, int flags)
{
    outcome(a, open(path, flags, 0600) >= 0);
}

/* "file:PATH", "sqlite:PATH" */
static const char *behind_colon(const char *s)
{
    const char *colon = strchr(s, ':');
    return colon ? colon + 1 : s;
}

static void open_key(struct victim *v, const struct attack *a)
{
    try_open(a, v->config->key, O_RDONLY);
}

static void open_kek(struct victim *v, const struct attack *a)
{
    try_open(a, behind_colon(v->config->keks[0]), O_RDONLY);
}

static void open_store(struct victim *v, const struct attack *a)
{
    try_open(a, behind_colon(v->config->store), O_RDWR);
}

static void create_file(struct victim *v, const struct attack *a)
{
    (void)v;
    try_open(a, "/tmp/encroot-compromised", O_WRONLY | O_CREAT);
}

static void open_memory(struct victim *v, const struct attack *a)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)v->keeper);
    try_open(a, path, O_RDONLY);
}

static void trace_keeper(struct victim *v, const struct attack *a)
{
    outcome(a, ptrace(PTRACE_ATTACH, v->keeper, NULL, NULL) == 0);
}

static void read_keeper(struct victim *v, const struct attack *a)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)system_attacks, 1};
    outcome(a, process_vm_readv(v->keeper, &here, 1, &there, 1, 0) > 0);
}

static void write_keeper(struct victim *v, const struct attack *a)
{
    char byte = 0;
    struct iovec here = {&byte, 1}, there = {(void *)system_attacks, 1};
    outcome(a, process_vm_writev(v->keeper, &here, 1, &there, 1, 0) > 0);
}

static void kill_keeper(struct victim *v, const struct attack *a)
{
    outcome(a, kill(v->keeper, SIGKILL) == 0);
}

static void stop_supervisor(struct victim *v, const struct attack *a)
{
    outcome(a, kill(v->supervisor, SIGSTOP) == 0);
}

static void take_descriptor(struct victim *v, const struct attack *a)
{
    outcome(a, syscall(SYS_pidfd_open, v->keeper, 0) >= 0);
}

static void make_socket(struct victim *v, const struct attack *a)
{
    (void)v;
    outcome(a, socket((int)a->argument, SOCK_STREAM, 0) >= 0);
}

static void dial(struct victim *v, const struct attack *a)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", v->config->admin_socket);
    outcome(a, connect(v->handoff, (struct sockaddr *)&address, sizeof(address)) == 0);
}

static void execute(struct victim *v, const struct attack *a)
{
    (void)v;
    outcome(a, execl("/bin/true", "true", NULL) == 0);
}

static void split(struct victim *v, const struct attack *a)
{
    (void)v;
    outcome(a, fork() >= 0);
}

static void run_data(struct victim *v, const struct attack *a)
{
    (void)v;
    outcome(a, mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0) != MAP_FAILED);
}

static void load_code(struct victim *v, const struct attack *a)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)v;
    outcome(a, mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0);
}

static void other_ring(struct victim *v, const struct attack *a)
{
    char parameters[256] = {0};
    (void)v;
    outcome(a, syscall(SYS_io_uring_setup, 8, parameters) >= 0);
}

static void new_namespace(struct victim *v, const struct attack *a)
{
    (void)v;
    outcome(a, syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */) == 0);
}

#define SYSTEM(text, f)                                                                            \
    {                                                                                              \
        .name = text, .system = true, .run = f                                                     \
    }

const struct attack system_attacks[] = {
    SYSTEM("open-key", open_key),
    SYSTEM("open-kek", open_kek),
    SYSTEM("open-store", open_store),
    SYSTEM("create-file", create_file),
    SYSTEM("open-memory", open_memory),
    SYSTEM("ptrace", trace_keeper),
    SYSTEM("process-vm-readv", read_keeper),
    SYSTEM("process-vm-writev", write_keeper),
    SYSTEM("kill", kill_keeper),
    SYSTEM("stop", stop_supervisor),
    SYSTEM("pidfd", take_descriptor),
    {.name = "socket-inet", .system = true, .run = make_socket, .argument = AF_INET},
    {.name = "socket-unix", .system = true, .run = make_socket, .argument = AF_UNIX},
    SYSTEM("connect", dial),
    SYSTEM("execve", execute),
    SYSTEM("fork", split),
    SYSTEM("mmap-exec", run_data),
    SYSTEM("mprotect-exec", load_code),
    SYSTEM("io-uring", other_ring),
    SYSTEM("unshare", new_namespace),
    {0},
};
