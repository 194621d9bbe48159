/* One process of a broker as a forked child, the test playing all others at the wires' ends. */
#ifndef ENCROOT_TESTS_BROKER_WIRES_H
#define ENCROOT_TESTS_BROKER_WIRES_H

#include "crypto/tls.h"
#include "daemon/log.h"
#include "daemon/messages.h"
#include "daemon/metrics.h"
#include "daemon/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PATIENCE SECONDS(30)

/* A key and a certificate in a folder of their own, and the configuration that names them. */
struct broker_files {
    char folder[64], key[96], cert[96];
    uint8_t pin[32];
    struct tls_identity *identity;
    struct daemon_config config;
};

static inline void make_broker_files(struct broker_files *b)
{
    struct error e = {0};
    *b = (struct broker_files){0};
    snprintf(b->folder, sizeof(b->folder), "/tmp/encroot-test-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->key, sizeof(b->key), "%s/broker.key", b->folder);
    snprintf(b->cert, sizeof(b->cert), "%s/broker.pem", b->folder);
    assert_int_equal(tls_identity_create(b->key, b->cert, &e), 0);
    assert_int_equal(tls_identity_load(&b->identity, b->key, b->cert, &e), 0);
    assert_int_equal(tls_identity_pin(b->identity, b->pin), 0);
    b->config = (struct daemon_config){.key = b->key,
                                       .certificate = b->cert,
                                       .workers = 1,
                                       .max_connections = 64,
                                       .request_seconds = 30,
                                       .handshake_seconds = 30};
}

static inline void free_broker_files(struct broker_files *b)
{
    tls_identity_free(b->identity);
    unlink(b->key);
    unlink(b->cert);
    rmdir(b->folder);
}

struct role_process {
    pid_t pid;
    struct process child; /* the ends that it has */
    struct channel ends[WIRE_COUNT][CONFIG_WORKERS_MAX];
    rlim_t descriptors; /* 0: as many as there are */
};

/* A new wire of this kind; its index. */
static inline size_t add_wire(struct role_process *r, enum wire w)
{
    int fds[2];
    int type = w == WIRE_HANDOFF ? SOCK_SEQPACKET : SOCK_STREAM;
    size_t i = r->child.count[w]++;
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    r->child.fds[w][i] = fds[0];
    channel_init(&r->ends[w][i], fds[1]);
    return i;
}

/* A listening socket on a free port of loopback; the port. */
static inline uint16_t add_listener(struct role_process *r)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(fd, 4096), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    r->child.fds[WIRE_RELEASE][r->child.count[WIRE_RELEASE]++] = fd;
    return ntohs(a.sin_port);
}

static inline void close_ends(struct role_process *r, bool of_child)
{
    for (size_t w = 0; w < WIRE_COUNT; w++)
        for (size_t i = 0; i < r->child.count[w]; i++)
            if (of_child)
                close(r->child.fds[w][i]);
            else if (w != WIRE_RELEASE)
                channel_free(&r->ends[w][i]);
}

static inline _Noreturn void be_child(struct role_process *r,
                                      int (*run)(struct process *, struct error *))
{
    struct error e = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_ends(r, false);
    if (r->descriptors)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){r->descriptors, r->descriptors});
    log_open(role_name(r->child.role), false, getenv("ENCROOT_TEST_LOG") ? LOG_DEBUG : LOG_CRIT);
    int result = run(&r->child, &e);
    if (result < 0)
        log_error(LOG_ERR, &e, "ends");
    _exit(result < 0 ? 1 : 0);
}

static inline void start_role(struct role_process *r, enum role role,
                              const struct daemon_config *config,
                              int (*run)(struct process *, struct error *))
{
    struct frame f;
    struct error e = {0};
    r->child.role = role;
    r->child.config = config;
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0)
        be_child(r, run);
    close_ends(r, true);
    assert_int_equal(channel_wait(&r->ends[WIRE_CONTROL][0], &f, clock_now() + PATIENCE, &e), 0);
    assert_int_equal(f.type, MESSAGE_READY);
}

/* Its wait status; fails when it does not end by itself. */
static inline int wait_role(struct role_process *r)
{
    int status = -1;
    uint64_t deadline = clock_now() + PATIENCE;
    while (waitpid(r->pid, &status, WNOHANG) == 0) {
        if (clock_now() > deadline) {
            kill(r->pid, SIGKILL);
            waitpid(r->pid, &status, 0);
            print_error("the process did not end\n");
            break;
        }
        usleep(1000);
    }
    r->pid = 0;
    return status;
}

#define assert_ended_well(r) assert_int_equal(wait_role(r), 0)
#define assert_ended_badly(r)                                                                      \
    do {                                                                                           \
        int status_ = wait_role(r);                                                                \
        assert_true(WIFEXITED(status_) && WEXITSTATUS(status_) == 1);                              \
    } while (0)

/* When the supervisor goes, all goes. */
static inline void stop_role(struct role_process *r)
{
    close(r->ends[WIRE_CONTROL][0].fd);
    r->ends[WIRE_CONTROL][0].fd = -1;
    if (r->pid)
        assert_ended_well(r);
    close_ends(r, false);
}

static inline bool role_is_alive(const struct role_process *r)
{
    return waitpid(r->pid, NULL, WNOHANG) == 0;
}

/* The next frame of a wire, which must be this. */
static inline struct frame expect_frame(struct channel *c, uint32_t type)
{
    struct frame f = {0};
    struct error e = {0};
    int r = channel_wait(c, &f, clock_now() + PATIENCE, &e);
    if (r < 0)
        print_error("%s\n", e.text);
    assert_int_equal(r, 0);
    assert_int_equal(f.type, type);
    return f;
}

static inline void put_frame(struct channel *c, uint32_t type, uint64_t connection, const void *p,
                             size_t n)
{
    struct error e = {0};
    struct bytes body = BYTES(p, n);
    assert_int_equal(channel_send(c, type, connection, &body, n ? 1 : 0, &e), 0);
    assert_int_equal(channel_drain(c, clock_now() + PATIENCE, &e), 0);
}

/* Polls a condition; false when it does not come true. */
#define EVENTUALLY(condition)                                                                      \
    ({                                                                                             \
        uint64_t until_ = clock_now() + PATIENCE;                                                  \
        bool so_;                                                                                  \
        while (!(so_ = (condition)) && clock_now() < until_)                                       \
            usleep(1000);                                                                          \
        so_;                                                                                       \
    })

#endif
