#include "agent/early.h"

#include "base/io.h"
#include "base/secret.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const struct {
    const char *type;
    const char *target;
    unsigned long flags;
    const char *data;
    bool optional;
} mounts[] = {
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755", false},
    {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    /* Firmware's event log, if there is a TPM. */
    {"securityfs", "/sys/kernel/security", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755", false},
};

int early_mount(struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
        mkdir(mounts[i].target, 0755); /* there already, or the mount says so */
        if (mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags,
                  mounts[i].data) == 0 ||
            errno == EBUSY || mounts[i].optional)
            continue;
        return error_errno(err, errno, "mounting %s", mounts[i].target);
    }
    /* The kernel opened the initramfs's console for us; from here on it is devtmpfs's. */
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd < 0)
        fd = open("/dev/null", O_RDWR);
    for (int i = 0; fd >= 0 && i <= 2; i++)
        if (fd != i)
            dup2(fd, i);
    if (fd > 2)
        close(fd);
    return 0;
}

/* Values that hold while the agent runs; the kernel's own are put back for the guest. */
static struct {
    const char *path;
    const char *value;
    struct buffer old;
} settings[] = {
    {"/proc/sys/kernel/sysrq", "0", {.max = 64}},  /* the host may press keys */
    {"/proc/sys/kernel/panic", "10", {.max = 64}}, /* a crash of ours ends the boot */
};
static struct rlimit old_core;

static void write_setting(const char *path, struct bytes value)
{
    _close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write_exact(fd, value.data, value.size) < 0)
        return; /* a kernel that has no such thing */
}

void early_guard(void)
{
    getrlimit(RLIMIT_CORE, &old_core);
    process_protect_secrets();
    signal(SIGPIPE, SIG_IGN);
    reboot(RB_DISABLE_CAD); /* SIGINT to PID 1 instead, which ignores it */
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (read_file(settings[i].path, settings[i].old.max, &settings[i].old, NULL) == 0)
            write_setting(settings[i].path, BYTES_STR(settings[i].value));
}

void early_unguard(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (settings[i].old.size)
            write_setting(settings[i].path, buffer_bytes(&settings[i].old));
    reboot(RB_ENABLE_CAD);
    signal(SIGPIPE, SIG_DFL);
    setrlimit(RLIMIT_CORE, &old_core);
}
