#include "agent/switch_root.h"

#include "agent/early.h"
#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#define SYSROOT "/sysroot"
#define DEPTH_MAX 16

static const char *const inits[] = {"/sbin/init", "/usr/lib/systemd/systemd",
                                    "/lib/systemd/systemd"};

/* ---- mounting ---- */
static const struct {
    const char *name;
    unsigned long set;
    unsigned long clear;
} vfs_options[] = {
    {"defaults", 0, 0},
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"noatime", MS_NOATIME, 0},
    {"nodiratime", MS_NODIRATIME, 0},
    {"relatime", MS_RELATIME, 0},
    {"strictatime", MS_STRICTATIME, 0},
    {"lazytime", MS_LAZYTIME, 0},
    {"nodev", MS_NODEV, 0},
    {"nosuid", MS_NOSUID, 0},
    {"noexec", MS_NOEXEC, 0},
    {"sync", MS_SYNCHRONOUS, 0},
    {"dirsync", MS_DIRSYNC, 0},
};

static bool apply_option(const char *name, size_t size, unsigned long *flags)
{
    for (size_t i = 0; i < ARRAY_SIZE(vfs_options); i++)
        if (strlen(vfs_options[i].name) == size && memcmp(vfs_options[i].name, name, size) == 0) {
            *flags = (*flags | vfs_options[i].set) & ~vfs_options[i].clear;
            return true;
        }
    return false;
}

unsigned long root_options(const char *text, char *data)
{
    unsigned long flags = 0;
    size_t at = 0;
    while (*text) {
        size_t n = strcspn(text, ",");
        if (n && !apply_option(text, n, &flags)) {
            if (at)
                data[at++] = ',';
            memcpy(data + at, text, n);
            at += n;
        }
        text += n + (text[n] == ',');
    }
    data[at] = '\0';
    return flags;
}

/* Links inside the root filesystem are followed inside it. */
static bool has_file(const char *path)
{
    _close_ int root = open(SYSROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    _close_ int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

static const char *find_init(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(inits); i++)
        if (has_file(inits[i]))
            return inits[i];
    return NULL;
}

int root_mount(const struct agent_config *c, struct error *err)
{
    _free_ char *data = malloc(strlen(c->root_flags) + 1);
    if (!data)
        return error_errno(err, ENOMEM, "root filesystem");
    unsigned long flags = root_options(c->root_flags, data);
    flags = c->root_read_only ? flags | MS_RDONLY : flags & ~(unsigned long)MS_RDONLY;
    mkdir(SYSROOT, 0755);
    if (mount("/dev/mapper/" MAPPER_NAME, SYSROOT, c->root_type, flags, data) < 0)
        return error_hint(
            err, error_errno(err, errno, "the root filesystem (%s) does not mount", c->root_type),
            "the key is not this volume's, or the disk's content was exchanged");
    if (!find_init()) {
        root_unmount();
        return error_set(err, ENOENT, "the root filesystem has no %s", inits[0]);
    }
    return 0;
}

void root_unmount(void)
{
    umount2(SYSROOT, MNT_DETACH);
}

int root_tell_udev(dev_t mapping, struct error *err)
{
    static const char record[] = "E:DM_UDEV_PRIMARY_SOURCE_FLAG=1\n";
    char path[64];
    mkdir("/run/udev", 0755);
    mkdir("/run/udev/data", 0755);
    snprintf(path, sizeof(path), "/run/udev/data/b%u:%u", major(mapping), minor(mapping));
    _close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int r = fd < 0 ? -errno : write_exact(fd, record, strlen(record));
    return r < 0 ? error_errno(err, -r, "%s", path) : 0;
}

/* ---- switching ---- */
static int move_mounts(struct error *err)
{
    static const char *const kept[] = {"/dev", "/proc", "/sys", "/run"};
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        char target[64];
        snprintf(target, sizeof(target), SYSROOT "%s", kept[i]);
        if (mount(kept[i], target, NULL, MS_MOVE, NULL) < 0)
            return error_errno(err, errno, "moving %s to %s", kept[i], target);
    }
    return 0;
}

/* Empty the folder, as far as it is on the same filesystem. */
static void empty_folder(int fd, dev_t device, unsigned depth)
{
    int again = dup(fd);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    if (!dir) {
        if (again >= 0)
            close(again);
        return;
    }
    const struct dirent *e;
    while ((e = readdir(dir))) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != device)
            continue;
        bool folder = S_ISDIR(st.st_mode);
        if (folder && depth < DEPTH_MAX) {
            _close_ int sub =
                openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (sub >= 0)
                empty_folder(sub, device, depth + 1);
        }
        unlinkat(fd, e->d_name, folder ? AT_REMOVEDIR : 0);
    }
    closedir(dir);
}

/* Only ever the memory filesystem that the kernel unpacked us into. */
static void free_initramfs(int old_root)
{
    struct statfs fs;
    struct stat st;
    if (fstatfs(old_root, &fs) == 0 && (fs.f_type == RAMFS_MAGIC || fs.f_type == TMPFS_MAGIC) &&
        fstat(old_root, &st) == 0)
        empty_folder(old_root, st.st_dev, 0);
}

static int enter_root(struct error *err)
{
    if (chdir(SYSROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0)
        return error_errno(err, errno, "switching to the root filesystem");
    return 0;
}

int switch_root(char *const argv[], struct error *err)
{
    static char *const environment[] = {"HOME=/", "TERM=linux", NULL};
    const char *init = find_init();
    if (!init)
        return error_set(err, ENOENT, "the root filesystem has no init any more");
    size_t argc = 0;
    while (argv[argc])
        argc++;
    _free_ char **args = calloc(argc + 2, sizeof(*args));
    _free_ char *name = strdup(init);
    if (!args || !name)
        return error_errno(err, ENOMEM, "switching to the root filesystem");
    args[0] = name;
    for (size_t i = 1; i < argc; i++)
        args[i] = argv[i];
    _close_ int old_root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    early_unguard(); /* while /proc is still where it was */
    int r;
    if ((r = move_mounts(err)) < 0 || (r = enter_root(err)) < 0)
        return r;
    if (old_root >= 0)
        free_initramfs(old_root);
    execve(init, args, environment);
    return error_errno(err, errno, "%s", init);
}
