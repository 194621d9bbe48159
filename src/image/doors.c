#include "image/doors.h"

static const struct {
    const char *path; /* its presence is the door */
    struct door door;
} table[] = {
    {"/usr/sbin/qemu-ga",
     {"qemu-guest-agent", "the host can run commands and read files in the guest through it"}},
    {"/usr/bin/qemu-ga",
     {"qemu-guest-agent", "the host can run commands and read files in the guest through it"}},
    {"/usr/bin/cloud-init",
     {"cloud-init", "a disk or metadata service of the host configures users, keys and commands"}},
    {"/usr/bin/google_guest_agent",
     {"google-guest-agent", "the host's metadata service creates users and SSH keys"}},
    {"/usr/sbin/waagent", {"waagent", "the host's platform runs extensions in the guest"}},
    {"/usr/bin/vmtoolsd",
     {"open-vm-tools", "the host can run commands and read files in the guest through it"}},
    {"/usr/bin/spice-vdagent", {"spice-vdagent", "the host exchanges files and the clipboard"}},
    {"/usr/bin/ignition", {"ignition", "the host's configuration provisions the guest"}},
};

int doors_find(struct filesystem *root, int (*fn)(void *arg, const struct door *d), void *arg)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        int r = filesystem_exists(root, table[i].path) ? fn(arg, &table[i].door) : 0;
        if (r != 0)
            return r;
    }
    return 0;
}
