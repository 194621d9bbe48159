#include "daemon/handoff.h"

#include <string.h>
#include <sys/socket.h>

struct datagram {
    uint32_t type; /* MESSAGE_CONNECTION */
    uint32_t size; /* of the body */
    uint64_t connection;
    struct message_connection body;
    uint32_t padding;
};

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int handoff_send(int wire, uint64_t connection, const struct message_connection *c, int fd,
                 struct error *err)
{
    struct datagram d = {.type = MESSAGE_CONNECTION, .size = sizeof(d.body)};
    d.connection = connection;
    d.body = *c;
    union control control = {0};
    struct iovec iov = {.iov_base = &d, .iov_len = sizeof(d)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(h), &fd, sizeof(fd));
    ssize_t n;
    do
        n = sendmsg(wire, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? error_errno(err, errno, "handing a connection to a front") : 0;
}

/* The one descriptor, or -1; the kernel never gives more than there is room for. */
static int received_fd(struct msghdr *m)
{
    int fd = -1;
    struct cmsghdr *h = CMSG_FIRSTHDR(m);
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
        h->cmsg_len == CMSG_LEN(sizeof(fd)))
        memcpy(&fd, CMSG_DATA(h), sizeof(fd));
    return fd;
}

int handoff_receive(int wire, uint64_t *connection, struct message_connection *c, int *fd,
                    struct error *err)
{
    struct datagram d = {0};
    union control control = {0};
    struct iovec iov = {.iov_base = &d, .iov_len = sizeof(d)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    ssize_t n;
    do
        n = recvmsg(wire, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, errno, "receiving a connection");
    if (n == 0)
        return 0;
    _close_ int socket = received_fd(&m);
    if ((size_t)n != sizeof(d) || (m.msg_flags & MSG_TRUNC) || d.type != MESSAGE_CONNECTION ||
        d.size != sizeof(d.body) || d.connection == 0)
        return error_set(err, EPROTO, "a malformed hand-off of %zd bytes", n);
    *connection = d.connection;
    if (socket < 0)
        return error_set(err, EMFILE, "connection %llu: no descriptor is left for its socket",
                         (unsigned long long)d.connection);
    *c = d.body;
    c->peer[sizeof(c->peer) - 1] = '\0';
    *fd = TAKE_FD(socket);
    return 1;
}
