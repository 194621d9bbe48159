#include "agent/volume.h"

#include "agent/gpt.h"
#include "base/hex.h"
#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define SYS_BLOCK "/sys/block"
#define BLOCK_SIZE_MAX 65536
#define SYS_SECTOR 512 /* the unit of start and size in /sys, whatever the disk's */

struct disk {
    const char *name;
    int fd;
    uint32_t block_size;
    uint64_t blocks;
};

static int read_attribute(const char *disk, const char *part, const char *name, char *ret,
                          size_t size)
{
    char path[512];
    int n = snprintf(path, sizeof(path), SYS_BLOCK "/%s/%s/%s", disk, part, name);
    if (n < 0 || (size_t)n >= sizeof(path))
        return -ENAMETOOLONG;
    _buffer_ struct buffer text = {.max = size};
    int r = read_file(path, size - 1, &text, NULL);
    if (r < 0)
        return r;
    if (text.size)
        memcpy(ret, text.data, text.size);
    ret[text.size] = '\0';
    return 0;
}

/* "259:3" */
static int read_device_number(const char *disk, const char *part, dev_t *ret)
{
    char text[32];
    int r = read_attribute(disk, part, "dev", text, sizeof(text));
    if (r < 0)
        return r;
    char *colon;
    char *end;
    unsigned long major = strtoul(text, &colon, 10);
    if (*colon != ':')
        return -EINVAL;
    unsigned long minor = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || major > UINT32_MAX || minor > UINT32_MAX)
        return -EINVAL;
    *ret = makedev((unsigned)major, (unsigned)minor);
    return 0;
}

static int read_number(const char *disk, const char *part, const char *name, uint64_t *ret)
{
    char text[32];
    int r = read_attribute(disk, part, name, text, sizeof(text));
    if (r < 0)
        return r;
    char *end;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return end == text || errno ? -EINVAL : 0;
}

/* ---- the partition as the kernel sees it ---- */
static int describe(const struct disk *d, const char *part, const struct gpt_partition *p,
                    struct volume_device *ret)
{
    dev_t number = 0;
    uint64_t start = 0;
    uint64_t size = 0;
    if (read_device_number(d->name, part, &number) < 0 ||
        read_number(d->name, part, "start", &start) < 0 ||
        read_number(d->name, part, "size", &size) < 0)
        return -ENOENT;
    uint64_t unit = d->block_size / SYS_SECTOR;
    if (start != p->first * unit || size != (p->last - p->first + 1) * unit)
        return -ENOENT; /* the kernel has read another table; it may yet read this one */
    struct volume_device v = {.number = number, .bytes = size * SYS_SECTOR};
    if (strlen(part) >= sizeof(v.name))
        return -ENOENT;
    memcpy(v.name, part, strlen(part) + 1);
    *ret = v;
    return 0;
}

static int find_device(const struct disk *d, const struct gpt_partition *p,
                       struct volume_device *ret)
{
    char path[512];
    int n = snprintf(path, sizeof(path), SYS_BLOCK "/%s", d->name);
    DIR *dir = n < 0 || (size_t)n >= sizeof(path) ? NULL : opendir(path);
    if (!dir)
        return -ENOENT;
    int r = -ENOENT;
    const struct dirent *e;
    while (r < 0 && (e = readdir(dir))) {
        uint64_t number = 0;
        if (e->d_name[0] != '.' && read_number(d->name, e->d_name, "partition", &number) == 0 &&
            number == p->number)
            r = describe(d, e->d_name, p, ret);
    }
    closedir(dir);
    return r;
}

/* ---- the partition as the disk has it ---- */
static int open_disk(const char *name, struct disk *ret)
{
    char path[128];
    int n = snprintf(path, sizeof(path), "/dev/%s", name);
    if (n < 0 || (size_t)n >= sizeof(path) || strchr(name, '!'))
        return -ENOENT;
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint64_t bytes = 0;
    int block_size = 0;
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) < 0 || ioctl(fd, BLKSSZGET, &block_size) < 0 ||
        block_size < SYS_SECTOR || block_size > BLOCK_SIZE_MAX || block_size % SYS_SECTOR)
        return -ENOENT;
    *ret = (struct disk){.name = name,
                         .fd = TAKE_FD(fd),
                         .block_size = (uint32_t)block_size,
                         .blocks = bytes / (uint32_t)block_size};
    return 0;
}

static int read_blocks(const struct disk *d, uint64_t block, size_t size, struct buffer *ret,
                       struct error *err)
{
    int r = buffer_reserve(ret, size);
    if (r == 0)
        r = pread_exact(d->fd, ret->data, size, (off_t)(block * d->block_size));
    if (r < 0)
        return error_errno(err, -r, "reading block %llu", (unsigned long long)block);
    ret->size = size;
    return 0;
}

static int find_on_disk(const struct disk *d, const uint8_t guid[16], struct gpt_partition *ret,
                        struct error *err)
{
    _buffer_ struct buffer block = {0};
    _buffer_ struct buffer entries = {.max = GPT_ENTRIES_SIZE_MAX};
    struct gpt_header h;
    int r;
    if (d->blocks < 3)
        return error_set(err, ENOENT, "too small for a partition table");
    if ((r = read_blocks(d, 1, d->block_size, &block, err)) < 0 ||
        (r = gpt_parse_header(buffer_bytes(&block), d->blocks, &h, err)) < 0 ||
        (r = read_blocks(d, h.entries_block, gpt_entries_size(&h), &entries, err)) < 0)
        return r;
    return gpt_find(&h, buffer_bytes(&entries), guid, ret, err);
}

static int look_at(const char *name, const uint8_t guid[16], struct volume_device *ret,
                   struct error *err)
{
    struct disk d;
    struct gpt_partition p = {0};
    int r = open_disk(name, &d);
    if (r < 0)
        return r;
    r = find_on_disk(&d, guid, &p, err);
    close(d.fd);
    if (r == -ENOTUNIQ)
        return error_prefix(err, r, "%s", name);
    /* An unreadable or foreign disk is none of our business: it is as if it were not there. */
    return r < 0 ? -ENOENT : find_device(&d, &p, ret);
}

static bool is_disk(const char *name)
{
    static const char *const others[] = {".", "dm-", "loop", "ram", "zram", "fd", "sr"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (strncmp(name, others[i], strlen(others[i])) == 0)
            return false;
    return true;
}

static int twice(const struct agent_config *c, const char *one, const char *other,
                 struct error *err)
{
    char guid[UUID_TEXT_SIZE];
    uuid_format(c->partition_uuid, guid);
    return error_set(err, ENOTUNIQ,
                     "%s and %s both are partition %s; refusing to choose between them", one, other,
                     guid);
}

static int scan(const struct agent_config *c, DIR *dir, struct volume_device *ret,
                struct error *err)
{
    struct volume_device found = {0};
    const struct dirent *e;
    while ((e = readdir(dir))) {
        struct volume_device here = {0};
        if (!is_disk(e->d_name))
            continue;
        int r = look_at(e->d_name, c->partition_uuid, &here, err);
        if (r == -ENOTUNIQ)
            return r;
        if (r < 0)
            continue;
        if (found.name[0])
            return twice(c, found.name, here.name, err);
        found = here;
    }
    if (!found.name[0])
        return error_set(err, ENOENT, "no disk has the partition");
    *ret = found;
    return 0;
}

int volume_find(const struct agent_config *c, struct volume_device *ret, struct error *err)
{
    DIR *dir = opendir(SYS_BLOCK);
    if (!dir)
        return error_errno(err, errno, SYS_BLOCK);
    struct volume_device v = {0};
    int r = scan(c, dir, &v, err);
    closedir(dir);
    if (r < 0)
        return r;
    if (v.bytes < c->data_offset || v.bytes - c->data_offset < c->data_size)
        return error_set(err, ENOSPC, "%s has %" PRIu64 " bytes, the volume needs %" PRIu64, v.name,
                         v.bytes, c->data_offset + c->data_size);
    *ret = v;
    return 0;
}
