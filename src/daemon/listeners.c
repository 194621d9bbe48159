#include "daemon/listeners.h"
#include "daemon/log.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 4096 /* the kernel takes less if net.core.somaxconn is less */

static const char *key_of(enum wire wire)
{
    return wire == WIRE_RELEASE     ? "listen"
           : wire == WIRE_ADMIN_TLS ? "admin-listen"
           : wire == WIRE_MONITOR   ? "monitor-listen"
                                    : "admin-socket";
}

/* ---- TCP ---- */
static socklen_t fill_address(const struct config_address *a, struct sockaddr_storage *ret)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, a->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
        return sizeof(*v4);
    }
    inet_pton(AF_INET6, a->host, &v6->sin6_addr); /* the configuration's parser accepted it */
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(a->port);
    return sizeof(*v6);
}

static bool set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static int tcp_failed(const struct config_address *a, int family, struct error *err)
{
    int code = errno;
    error_errno(err, code, "cannot listen on %s port %u", a->host, a->port);
    if (code == EADDRINUSE)
        return error_hint(err, -code, "`ss -ltnp sport = :%u` names the program that does",
                          a->port);
    if (code == EAFNOSUPPORT && family == AF_INET6)
        return error_hint(err, -code, "this host has no IPv6: try 0.0.0.0:%u", a->port);
    return -code;
}

static int open_tcp(const struct config_address *a, int *ret, struct error *err)
{
    struct sockaddr_storage address;
    socklen_t size = fill_address(a, &address);
    int family = address.ss_family;
    _close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Accepted sockets inherit TCP_NODELAY: answers are one write each. */
    if (fd < 0 || !set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
        !set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
        (family == AF_INET6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) ||
        bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0)
        return tcp_failed(a, family, err);
    *ret = TAKE_FD(fd);
    return 0;
}

/* ---- UNIX ---- */
/* A name that nobody listens behind is left over from a broker that was killed. */
static bool is_stale(const struct sockaddr_un *a)
{
    struct stat st;
    _close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && lstat(a->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
           connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 && errno == ECONNREFUSED;
}

/* Who may connect is decided by who they are (SO_PEERCRED); where that can only be the broker's
 * user and root, others need not even reach it. */
static mode_t socket_mode(const struct daemon_config *c)
{
    return c->admin_group || c->reader_group ? 0666 : 0600;
}

static int open_unix(const char *path, int *ret, struct error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    _close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    mode_t mask = umask(0177);
    int r = bind(fd, (struct sockaddr *)&a, sizeof(a));
    if (r < 0 && errno == EADDRINUSE && is_stale(&a) && unlink(path) == 0)
        r = bind(fd, (struct sockaddr *)&a, sizeof(a));
    int code = errno;
    umask(mask);
    if (r < 0) {
        error_errno(err, code, "cannot listen on %s", path);
        return code != EADDRINUSE ? -code : error_hint(err, -code, "is another encrootd running?");
    }
    if (listen(fd, BACKLOG) < 0)
        return error_errno(err, errno, "%s", path);
    *ret = TAKE_FD(fd);
    return 0;
}

/* ---- one set ---- */
static bool is_same(const struct listener *a, const struct listener *b)
{
    if (a->wire != b->wire)
        return false;
    return a->path ? strcmp(a->path, b->path) == 0
                   : a->address.port == b->address.port &&
                         strcmp(a->address.host, b->address.host) == 0;
}

static const struct listener *find(const struct listeners *l, const struct listener *like)
{
    for (size_t i = 0; l && i < l->count; i++)
        if (is_same(&l->all[i], like))
            return &l->all[i];
    return NULL;
}

static int open_one(struct listeners *l, struct listener one, const struct listeners *old,
                    struct error *err)
{
    const struct listener *same = find(old, &one);
    int r = 0;
    if (same) {
        one.fd = fcntl(same->fd, F_DUPFD_CLOEXEC, 0);
        r = one.fd < 0 ? error_errno(err, errno, "dup") : 0;
    } else {
        r = one.path ? open_unix(one.path, &one.fd, err) : open_tcp(&one.address, &one.fd, err);
    }
    if (r < 0) {
        free(one.path);
        return error_prefix(err, r, "%s", key_of(one.wire));
    }
    l->all[l->count++] = one;
    return 0;
}

static int open_list(struct listeners *l, enum wire wire, const struct config_address *list,
                     size_t count, const struct listeners *old, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = open_one(l, (struct listener){.wire = wire, .address = list[i], .fd = -1}, old, err);
    return r;
}

static int open_admin_socket(struct listeners *l, const struct daemon_config *c,
                             const struct listeners *old, struct error *err)
{
    struct listener one = {.wire = WIRE_ADMIN_UNIX, .path = strdup(c->admin_socket), .fd = -1};
    if (!one.path)
        return error_set(err, ENOMEM, "out of memory");
    int r = open_one(l, one, old, err);
    if (r == 0 && chmod(c->admin_socket, socket_mode(c)) < 0)
        r = error_errno(err, errno, "admin-socket: %s", c->admin_socket);
    return r;
}

int listeners_open(struct listeners *ret, const struct daemon_config *c,
                   const struct listeners *old, struct error *err)
{
    struct listeners l = {.count = 0};
    int r = open_list(&l, WIRE_RELEASE, c->listen, c->listen_count, old, err);
    if (r == 0)
        r = open_list(&l, WIRE_ADMIN_TLS, c->admin_listen, c->admin_listen_count, old, err);
    if (r == 0)
        r = open_list(&l, WIRE_MONITOR, c->monitor_listen, c->monitor_listen_count, old, err);
    if (r == 0)
        r = open_admin_socket(&l, c, old, err);
    if (r < 0) {
        listeners_close(&l, old);
        return r;
    }
    *ret = l;
    return 0;
}

void listeners_close(struct listeners *l, const struct listeners *successor)
{
    for (size_t i = 0; i < l->count; i++) {
        struct listener *one = &l->all[i];
        if (one->path && !find(successor, one))
            unlink(one->path);
        free(one->path);
        close(one->fd);
    }
    l->count = 0;
}

static unsigned bound_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t size = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &size) < 0)
        return 0;
    return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                        : ((struct sockaddr_in6 *)&a)->sin6_port);
}

void listeners_log(const struct listeners *l, const struct listeners *old)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct listener *one = &l->all[i];
        if (find(old, one))
            continue;
        if (one->path)
            log_line(LOG_INFO, "%s: listening on %s", key_of(one->wire), one->path);
        else
            log_line(LOG_INFO, "%s: listening on %s port %u", key_of(one->wire), one->address.host,
                     bound_port(one->fd));
    }
}
