#include "cli/admin_address.h"
#include "cli/dial.h"
#include "crypto/tls.h"

#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define UNIX "unix:"
#define HTTPS "https://"

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

bool admin_address_begins(const char *word)
{
    return begins(word, UNIX) || begins(word, HTTPS);
}

static int bad(struct error *err, const char *text)
{
    int r = error_set(err, EINVAL, "broker: expected unix:PATH or https://HOST:PORT, found \"%s\"",
                      text);
    return error_hint(err, r,
                      "without an address it is $" ADMIN_ADDRESS_VARIABLE
                      ", else " ADMIN_ADDRESS_DEFAULT);
}

static bool parse_port(const char *text, uint16_t *ret)
{
    size_t n = strspn(text, "0123456789");
    unsigned long v = n > 0 && n < 6 ? strtoul(text, NULL, 10) : 0;
    if (text[n] == '/' && text[n + 1] == '\0') /* as browsers write it */
        n++;
    if (text[n] || v == 0 || v > UINT16_MAX)
        return false;
    *ret = (uint16_t)v;
    return true;
}

/* HOST:PORT, [ADDRESS]:PORT */
static bool parse_host(struct admin_address *a, const char *text)
{
    bool bracket = text[0] == '[';
    const char *end = bracket ? strchr(text, ']') : strchr(text, ':');
    const char *host = text + bracket;
    size_t n = end ? (size_t)(end - host) : 0;
    if (n == 0 || n >= sizeof(a->host) || (bracket && end[1] != ':') || strchr(host, '@'))
        return false;
    memcpy(a->host, host, n);
    return parse_port(end + 1 + bracket, &a->port);
}

int admin_address_parse(struct admin_address *ret, const char *text, struct error *err)
{
    struct admin_address a = {0};
    if (!text || !*text)
        text = getenv(ADMIN_ADDRESS_VARIABLE);
    if (!text || !*text)
        text = ADMIN_ADDRESS_DEFAULT;
    if (strlen(text) >= sizeof(a.text))
        return bad(err, text);
    memcpy(a.text, text, strlen(text) + 1);
    a.tls = begins(text, HTTPS);
    if (a.tls && !parse_host(&a, text + strlen(HTTPS)))
        return bad(err, text);
    if (!a.tls) {
        size_t n = begins(text, UNIX) ? strlen(text + strlen(UNIX)) : 0;
        if (n == 0 || n >= sizeof(a.path))
            return bad(err, text);
        memcpy(a.path, text + strlen(UNIX), n + 1);
    }
    *ret = a;
    return 0;
}

/* ---- the socket ---- */
static int refused(const struct admin_address *a, struct error *err)
{
    struct stat st;
    const struct group *g = stat(a->path, &st) == 0 ? getgrgid(st.st_gid) : NULL;
    int r = error_set(err, EKEYREJECTED, "%s: permission denied", a->text);
    if (g && g->gr_gid != 0)
        return error_hint(err, r, "only root and the group %s may: usermod -aG %s USER", g->gr_name,
                          g->gr_name);
    return error_hint(err, r, "run it as root, or name a group: admin-group in encrootd.conf(5)");
}

static int unreachable(const struct admin_address *a, int code, struct error *err)
{
    if (code == EACCES || code == EPERM)
        return refused(a, err);
    if (code == EAGAIN)
        return error_set(err, ETIMEDOUT, "%s: too busy to take the connection", a->text);
    if (code != ENOENT && code != ECONNREFUSED)
        return error_set(err, EHOSTUNREACH, "%s: %s", a->text, strerror(code));
    return error_hint(
        err, error_set(err, EHOSTUNREACH, "%s: nothing listens there", a->text),
        "is encrootd running? systemctl status encrootd; --broker names another address");
}

/* A full backlog makes connect() wait: not longer than until the deadline. */
static void limit_connect(int fd, uint64_t deadline)
{
    uint64_t now = clock_now();
    uint64_t left = deadline > now ? deadline - now : 1000;
    struct timeval t = {.tv_sec = (time_t)(left / SECONDS(1)),
                        .tv_usec = (suseconds_t)(left % SECONDS(1) / 1000)};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static int dial_socket(const struct admin_address *a, uint64_t deadline, struct error *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path, a->path, sizeof(a->path));
    _close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, errno, "%s", a->text);
    limit_connect(fd, deadline);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
        return unreachable(a, errno, err);
    return TAKE_FD(fd);
}

int admin_dial(const struct admin_address *a, uint64_t deadline, struct error *err)
{
    if (!a->tls)
        return dial_socket(a, deadline, err);
    int fd = dial(a->host, a->port, deadline, err);
    if (fd >= 0)
        return fd;
    error_prefix(err, fd, "%s", a->text);
    error_hint(err, fd, "is encrootd running there, and has its configuration admin-listen?");
    return fd == -ETIMEDOUT ? -ETIMEDOUT : -EHOSTUNREACH;
}
