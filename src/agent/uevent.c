#include "agent/uevent.h"

#include <linux/netlink.h>
#include <stdint.h>
#include <sys/socket.h>

int uevent_open(struct error *err)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};
    _close_ int fd =
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 || bind(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return error_errno(err, errno, "device events");
    return TAKE_FD(fd);
}

bool uevent_drain(int fd)
{
    uint8_t scratch[4096];
    bool any = false;
    for (int i = 0; i < 1024; i++) {
        if (recv(fd, scratch, sizeof(scratch), 0) < 0 && errno != ENOBUFS)
            break;
        any = true;
    }
    return any;
}
