#include "agent/dm.h"

#include "base/hex.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define CONTROL "/dev/mapper/control"
#define CONTROL_MAJOR 10
#define CONTROL_MINOR 236
#define SECTOR 512
#define REQUEST_SIZE 2048

/* ---- the table ---- */
/*
 * LUKS2 counts initialisation vectors in units of 512 bytes whatever the sector size, so there is
 * no iv_large_sectors. Discards stay off: they would show the host which blocks are free.
 */
int dm_crypt_table(const struct dm_crypt *c, char *ret, size_t size)
{
    size_t hex = 2 * secret_size(c->key);
    int n = snprintf(ret, size, "%s ", c->cipher);
    if (n < 0 || (size_t)n >= size || size - (size_t)n <= hex)
        return -ENOSPC;
    size_t at = (size_t)n;
    hex_encode(secret_bytes(c->key), ret + at);
    at += hex;
    char options[32] = "";
    if (c->sector_size != SECTOR)
        snprintf(options, sizeof(options), " 1 sector_size:%u", c->sector_size);
    n = snprintf(ret + at, size - at, " 0 %u:%u %llu%s", major(c->device), minor(c->device),
                 (unsigned long long)(c->offset / SECTOR), options);
    return n < 0 || (size_t)n >= size - at ? -ENOSPC : 0;
}

/* ---- ioctls ---- */
static int open_control(struct error *err)
{
    int fd = open(CONTROL, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        mkdir("/dev/mapper", 0755);
        if (mknod(CONTROL, S_IFCHR | 0600, makedev(CONTROL_MAJOR, CONTROL_MINOR)) == 0)
            fd = open(CONTROL, O_RDWR | O_CLOEXEC);
    }
    return fd >= 0 ? fd : error_errno(err, errno, CONTROL);
}

/* A request in memory that is locked and wiped: it may hold the key. */
static struct dm_ioctl *request(struct secret *memory, const char *name, uint32_t flags)
{
    struct dm_ioctl *q = (struct dm_ioctl *)(void *)secret_data(memory);
    wipe(q, secret_size(memory));
    q->version[0] = DM_VERSION_MAJOR;
    q->data_size = (uint32_t)secret_size(memory);
    q->data_start = sizeof(*q);
    q->flags = flags;
    snprintf(q->name, sizeof(q->name), "%s", name);
    return q;
}

static int create(int control, struct secret *memory, const struct dm_crypt *c, dev_t *ret,
                  struct error *err)
{
    struct dm_ioctl *q = request(memory, c->name, 0);
    char uuid[33];
    hex_encode(BYTES_OF(c->uuid), uuid);
    snprintf(q->uuid, sizeof(q->uuid), "CRYPT-LUKS2-%s-%s", uuid, c->name);
    if (ioctl(control, DM_DEV_CREATE, q) < 0)
        return error_errno(err, errno, "device-mapper: creating %s", c->name);
    *ret = (dev_t)q->dev;
    return 0;
}

static int load(int control, struct secret *memory, const struct dm_crypt *c, struct error *err)
{
    struct dm_ioctl *q = request(memory, c->name, DM_SECURE_DATA_FLAG);
    struct dm_target_spec *target = (struct dm_target_spec *)(void *)(q + 1);
    char *table = (char *)(target + 1);
    size_t room = secret_size(memory) - sizeof(*q) - sizeof(*target);
    q->target_count = 1;
    target->length = c->size / SECTOR;
    snprintf(target->target_type, sizeof(target->target_type), "crypt");
    int r = dm_crypt_table(c, table, room);
    if (r < 0)
        return error_errno(err, -r, "device-mapper: the table for %s", c->name);
    if (ioctl(control, DM_TABLE_LOAD, q) < 0)
        return error_errno(err, errno, "device-mapper: loading dm-crypt with %s", c->cipher);
    return 0;
}

static int resume(int control, struct secret *memory, const struct dm_crypt *c, struct error *err)
{
    if (ioctl(control, DM_DEV_SUSPEND, request(memory, c->name, 0)) < 0)
        return error_errno(err, errno, "device-mapper: activating %s", c->name);
    return 0;
}

/* devtmpfs has made /dev/dm-N; the name is a link to it, as udev's rules have it. */
static int make_link(const char *name, dev_t dev, struct error *err)
{
    char target[32];
    char path[64];
    snprintf(target, sizeof(target), "../dm-%u", minor(dev));
    snprintf(path, sizeof(path), "/dev/mapper/%s", name);
    mkdir("/dev/mapper", 0755);
    if (symlink(target, path) < 0 && errno != EEXIST)
        return error_errno(err, errno, "%s", path);
    return 0;
}

int dm_crypt_open(const struct dm_crypt *c, dev_t *ret, struct error *err)
{
    _close_ int control = open_control(err);
    if (control < 0)
        return control;
    _secret_ struct secret *memory = secret_new(REQUEST_SIZE);
    if (!memory)
        return error_set(err, ENOMEM, "cannot lock memory for the key");
    dev_t dev = 0;
    int r = create(control, memory, c, &dev, err);
    if (r < 0)
        return r;
    if ((r = load(control, memory, c, err)) < 0 || (r = resume(control, memory, c, err)) < 0 ||
        (r = make_link(c->name, dev, err)) < 0) {
        dm_crypt_close(c->name);
        return r;
    }
    *ret = dev;
    return 0;
}

void dm_crypt_close(const char *name)
{
    _close_ int control = open_control(NULL);
    _secret_ struct secret *memory = secret_new(REQUEST_SIZE);
    if (control >= 0 && memory && ioctl(control, DM_DEV_REMOVE, request(memory, name, 0)) < 0)
        return; /* the machine stops anyway */
}
