#include "image/updates.h"

/* By itself first: that comes as a surprise. */
static const struct {
    const char *path;
    const char *what;
} table[] = {
    {"/usr/bin/unattended-upgrade", "the guest updates its packages by itself "
                                    "(unattended-upgrades)"},
    {"/usr/bin/dnf-automatic", "the guest updates its packages by itself (dnf-automatic)"},
    {"/usr/sbin/transactional-update", "the guest updates itself (transactional-update)"},
    {"/etc/kernel/postinst.d/zz-update-grub", "kernel packages run update-grub in the guest"},
    {"/usr/lib/kernel/install.d/20-grub.install",
     "kernel packages change GRUB's menu in the guest"},
};

const char *updates_find(struct filesystem *root)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (filesystem_exists(root, table[i].path))
            return table[i].what;
    return NULL;
}
