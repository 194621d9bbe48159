#include "disk/partition.h"
#include "disk/sketch.h"
#include "base/hex.h"

#include <inttypes.h>
#include <libfdisk.h>
#include <string.h>

#define SECTOR 512
#define SKETCH_SIZE ((uint64_t)1 << 20) /* more than any table of PARTITIONS_MAX needs */
#define ENTRIES_SIZE_MAX (SKETCH_SIZE / 2)
#define TAIL_SECTORS 33 /* UEFI 5.3: 32 of entries, and the header */
#define HEAD_SECTORS (1 + TAIL_SECTORS)
#define BOOT_CODE_SIZE 440 /* UEFI 5.2.1 */

static void cleanup_context(struct fdisk_context **c)
{
    fdisk_unref_context(*c);
}
static void cleanup_table(struct fdisk_table **t)
{
    fdisk_unref_table(*t);
}
static void cleanup_partition(struct fdisk_partition **p)
{
    fdisk_unref_partition(*p);
}
static void cleanup_script(struct fdisk_script **s)
{
    fdisk_unref_script(*s);
}
#define _context_ _cleanup_(cleanup_context)
#define _table_ _cleanup_(cleanup_table)
#define _partition_ _cleanup_(cleanup_partition)
#define _script_ _cleanup_(cleanup_script)

static int open_context(struct fdisk_context **ret, int fd, const char *name, bool writable,
                        struct error *err)
{
    _context_ struct fdisk_context *c = fdisk_new_context();
    if (!c)
        return error_set(err, ENOMEM, "%s: out of memory", name);
    fdisk_save_user_sector_size(c, SECTOR, SECTOR);
    int r = fdisk_assign_device_by_fd(c, fd, name, !writable);
    if (r < 0)
        return error_errno(err, -r, "%s: partition table", name);
    *ret = TAKE_PTR(c);
    return 0;
}

/* A GPT that libfdisk does not take: what is the matter with it? 0: there is none. */
static int explain_damage(int fd, uint64_t size, const char *name, struct error *err)
{
    static const char signature[] = "EFI PART"; /* UEFI 5.3.2 */
    uint8_t head[4096 + sizeof(signature)];
    if (pread_exact(fd, head, sizeof(head), 0) < 0)
        return 0;
    if (memcmp(head + 4096, signature, 8) == 0)
        return error_set(err, EOPNOTSUPP, "%s: the GPT is for sectors of 4096 bytes", name);
    if (memcmp(head + SECTOR, signature, 8) != 0)
        return 0;
    struct reader r = reader_of(BYTES(head + SECTOR + 32, 8));
    uint64_t last = read_le64(&r); /* "AlternateLBA", the disk's last sector */
    if (last < size / SECTOR)
        return error_set(err, EBADMSG, "%s: the GPT is damaged", name);
    int result = error_set(err, EBADMSG,
                           "%s: truncated: its GPT is for %" PRIu64 " sectors, but only %" PRIu64
                           " are there",
                           name, last < UINT64_MAX ? last + 1 : last, size / SECTOR);
    return error_hint(err, result, "fetch or copy it again, and compare its checksum");
}

static int expect_gpt(struct fdisk_context *c, int fd, const char *name, struct error *err)
{
    if (fdisk_is_label(c, GPT))
        return 0;
    int r = explain_damage(fd, fdisk_get_nsectors(c) * SECTOR, name, err);
    if (r < 0)
        return r;
    struct fdisk_label *label = fdisk_get_label(c, NULL);
    const char *found = fdisk_is_label(c, DOS) ? "an MBR (DOS) partition table"
                        : fdisk_has_label(c)   ? fdisk_label_get_name(label)
                                               : "no partition table";
    r = error_set(err, ENODATA, "%s: expected a GPT, found %s", name, found);
    if (fdisk_is_label(c, DOS))
        return error_hint(err, r,
                          "convert a raw copy of it: sgdisk -g IMAGE (encroot-image(1), encrypt)");
    return error_hint(err, r, "the image must be that of a whole disk with a GUID partition table");
}

static int take_uuid(const char *text, uint8_t uuid[16])
{
    return text ? uuid_parse(text, uuid) : -EINVAL;
}

static int take_partition(struct partition *ret, struct fdisk_context *c,
                          struct fdisk_partition *pa, const char *disk, struct error *err)
{
    struct partition p = {.number = (unsigned)fdisk_partition_get_partno(pa) + 1};
    uint64_t first = fdisk_partition_get_start(pa), sectors = fdisk_partition_get_size(pa);
    uint64_t total = fdisk_get_nsectors(c);
    if (first >= total || sectors == 0 || sectors > total - first)
        return error_set(err, EBADMSG,
                         "%s: partition %u: %" PRIu64 " sectors at %" PRIu64
                         " are beyond the end of the disk at %" PRIu64,
                         disk, p.number, sectors, first, total);
    p.start = first * SECTOR;
    p.size = sectors * SECTOR;
    struct fdisk_parttype *type = fdisk_partition_get_type(pa);
    const char *type_text = type ? fdisk_parttype_get_string(type) : NULL;
    if (take_uuid(fdisk_partition_get_uuid(pa), p.uuid) < 0 ||
        take_uuid(type_text, p.type_uuid) < 0 ||
        fdisk_gpt_get_partition_attrs(c, p.number - 1, &p.attrs) < 0)
        return error_set(err, EBADMSG, "%s: partition %u: cannot be read", disk, p.number);
    const char *name = fdisk_partition_get_name(pa);
    if (name && strlen(name) >= sizeof(p.name))
        return error_set(err, EBADMSG, "%s: partition %u: its name is too long", disk, p.number);
    snprintf(p.name, sizeof(p.name), "%s", name ? name : "");
    *ret = p;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const struct partition *p = a, *q = b;
    return p->number < q->number ? -1 : p->number > q->number;
}

static int check_overlaps(const struct partition_table *t, const char *disk, struct error *err)
{
    for (size_t i = 0; i < t->count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct partition *p = &t->parts[j], *q = &t->parts[i];
            if (p->start < q->start + q->size && q->start < p->start + p->size)
                return error_set(err, EBADMSG, "%s: partitions %u and %u overlap", disk, p->number,
                                 q->number);
        }
    return 0;
}

static int take_all(struct partition_table *t, struct fdisk_context *c, const char *disk,
                    struct error *err)
{
    _table_ struct fdisk_table *table = NULL;
    int r = fdisk_get_partitions(c, &table);
    if (r < 0)
        return error_errno(err, -r, "%s: reading the partition table", disk);
    for (size_t i = 0; i < fdisk_table_get_nents(table); i++) {
        struct fdisk_partition *pa = fdisk_table_get_partition(table, i);
        if (!fdisk_partition_is_used(pa))
            continue;
        if (t->count == PARTITIONS_MAX)
            return error_set(err, EBADMSG, "%s: more than %d partitions", disk, PARTITIONS_MAX);
        r = take_partition(&t->parts[t->count], c, pa, disk, err);
        if (r < 0)
            return r;
        t->count++;
    }
    qsort(t->parts, t->count, sizeof(t->parts[0]), by_number);
    return check_overlaps(t, disk, err);
}

/* libfdisk makes room for as many entries as a header speaks of, before it looks for them. */
static int check_header(int fd, uint64_t sector, uint64_t *ret_alternate, const char *disk,
                        struct error *err)
{
    uint8_t head[92]; /* UEFI 5.3.2 */
    if (sector > INT64_MAX / SECTOR ||
        pread_exact(fd, head, sizeof(head), (off_t)(sector * SECTOR)))
        return 0;
    struct reader r = reader_of(BYTES_OF(head));
    if (memcmp(read_bytes(&r, 32).data, "EFI PART", 8) != 0)
        return 0;
    *ret_alternate = read_le64(&r);
    (void)read_bytes(&r, 40);
    uint32_t entries = read_le32(&r), size = read_le32(&r);
    if ((uint64_t)entries * size <= ENTRIES_SIZE_MAX)
        return 0;
    return error_set(err, EBADMSG,
                     "%s: the GPT is damaged: its header at sector %" PRIu64 " speaks of %" PRIu32
                     " entries of %" PRIu32 " bytes",
                     disk, sector, entries, size);
}

/* The first, the one that it names as its copy, and the one at the end. */
static int check_headers(int fd, const char *disk, struct error *err)
{
    off_t size = lseek(fd, 0, SEEK_END);
    uint64_t alternate = 0, unused;
    int r = check_header(fd, 1, &alternate, disk, err);
    if (r == 0 && alternate > 1)
        r = check_header(fd, alternate, &unused, disk, err);
    if (r == 0 && size >= 2 * SECTOR)
        r = check_header(fd, (uint64_t)size / SECTOR - 1, &unused, disk, err);
    return r;
}

static int read_sketch(struct partition_table *t, int fd, const char *disk, struct error *err)
{
    _context_ struct fdisk_context *c = NULL;
    int r = check_headers(fd, disk, err);
    if (r == 0)
        r = open_context(&c, fd, disk, false, err);
    if (r == 0)
        r = expect_gpt(c, fd, disk, err);
    if (r < 0)
        return r;
    _free_ char *id = NULL;
    if (fdisk_get_disklabel_id(c, &id) < 0 || take_uuid(id, t->disk_uuid) < 0)
        return error_set(err, EBADMSG, "%s: the GPT has no disk GUID", disk);
    t->disk_size = fdisk_get_nsectors(c) * SECTOR;
    return take_all(t, c, disk, err);
}

int partition_table_read(struct partition_table *ret, struct blockdev *d, struct error *err)
{
    _close_ int fd = sketch_open(d, SKETCH_SIZE, SKETCH_SIZE, err);
    if (fd < 0)
        return fd;
    _free_ struct partition_table *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, ENOMEM, "%s: out of memory", d->name);
    int r = read_sketch(t, fd, d->name, err);
    t->disk_size = d->size;
    if (r == 0)
        *ret = *t;
    return r;
}

/* An empty GPT. Partitions may start right behind it: by itself libfdisk keeps the first MiB. */
static int new_label(struct fdisk_context *c, const struct partition_table *t, struct error *err)
{
    char uuid[UUID_TEXT_SIZE];
    char first[16];
    uuid_format(t->disk_uuid, uuid);
    snprintf(first, sizeof(first), "%d", HEAD_SECTORS);
    _script_ struct fdisk_script *s = fdisk_new_script(c);
    if (!s || fdisk_script_set_header(s, "label", "gpt") < 0 ||
        fdisk_script_set_header(s, "label-id", uuid) < 0 ||
        fdisk_script_set_header(s, "first-lba", first) < 0)
        return error_set(err, ENOMEM, "out of memory");
    int r = fdisk_apply_script_headers(c, s);
    fdisk_set_script(c, NULL); /* they hold each other */
    return r < 0 ? error_errno(err, -r, "making a GPT") : 0;
}

static int add_partition(struct fdisk_context *c, const struct partition *p, struct error *err)
{
    _partition_ struct fdisk_partition *pa = fdisk_new_partition();
    char uuid[UUID_TEXT_SIZE], type[UUID_TEXT_SIZE];
    uuid_format(p->uuid, uuid);
    uuid_format(p->type_uuid, type);
    /* The list of known types has upper-case text; the search in it minds that. */
    for (char *at = type; *at; at++)
        if (*at >= 'a' && *at <= 'f')
            *at = (char)(*at - 'a' + 'A');
    struct fdisk_parttype *t = fdisk_label_parse_parttype(fdisk_get_label(c, NULL), type);
    if (!pa || !t)
        return error_set(err, ENOMEM, "out of memory");
    size_t number = p->number - 1;
    int r = fdisk_partition_set_partno(pa, number);
    if (r == 0)
        r = fdisk_partition_set_start(pa, p->start / SECTOR);
    if (r == 0)
        r = fdisk_partition_set_size(pa, p->size / SECTOR);
    if (r == 0)
        r = fdisk_partition_size_explicit(pa, 1); /* else it is rounded and cut as it suits */
    if (r == 0)
        r = fdisk_partition_set_type(pa, t);
    if (r == 0)
        r = fdisk_partition_set_uuid(pa, uuid);
    if (r == 0)
        r = fdisk_partition_set_name(pa, p->name);
    fdisk_unref_parttype(t);
    if (r == 0)
        r = fdisk_add_partition(c, pa, NULL);
    if (r == 0)
        r = fdisk_gpt_set_partition_attrs(c, number, p->attrs);
    return r < 0 ? error_errno(err, -r,
                               "partition %u (%" PRIu64 " bytes at %" PRIu64 ") does not fit",
                               p->number, p->size, p->start)
                 : 0;
}

static int write_sketch(int fd, const struct partition_table *t, const char *name,
                        struct error *err)
{
    _context_ struct fdisk_context *c = NULL;
    int r = open_context(&c, fd, name, true, err);
    if (r < 0)
        return r;
    r = new_label(c, t, err);
    for (size_t i = 0; i < t->count && r == 0; i++)
        r = add_partition(c, &t->parts[i], err);
    if (r == 0) {
        r = fdisk_write_disklabel(c);
        if (r < 0)
            error_errno(err, -r, "writing it");
    }
    return r < 0 ? error_prefix(err, r, "%s: partition table", name) : 0;
}

/* libfdisk is clever about what was meant: look at what came of it. */
static int expect_written(int fd, const struct partition_table *t, const char *name,
                          struct error *err)
{
    _free_ struct partition_table *found = calloc(1, sizeof(*found));
    if (!found)
        return error_set(err, ENOMEM, "%s: out of memory", name);
    int r = read_sketch(found, fd, name, err);
    if (r < 0)
        return r;
    if (found->count != t->count || memcmp(found->disk_uuid, t->disk_uuid, 16) != 0)
        return error_set(err, EIO, "%s: the new partition table is not what was asked for", name);
    for (size_t i = 0; i < t->count; i++) {
        const struct partition *p = &found->parts[i], *q = &t->parts[i];
        if (p->number != q->number || p->start != q->start || p->size != q->size ||
            p->attrs != q->attrs || memcmp(p->uuid, q->uuid, 16) != 0 ||
            memcmp(p->type_uuid, q->type_uuid, 16) != 0 || strcmp(p->name, q->name) != 0)
            return error_set(err, EIO, "%s: partition %u did not become what was asked for", name,
                             q->number);
    }
    return 0;
}

static int copy_area(int fd, struct blockdev *d, uint64_t at, size_t n, struct error *err)
{
    uint8_t area[HEAD_SECTORS * SECTOR];
    int r = pread_exact(fd, area, n, (off_t)at);
    if (r < 0)
        return error_errno(err, -r, "%s: partition table", d->name);
    return blockdev_write(d, area, n, at, err);
}

int partition_table_write(const struct partition_table *t, struct blockdev *d, struct error *err)
{
    if (d->size % SECTOR != 0 || d->size < (HEAD_SECTORS + TAIL_SECTORS) * SECTOR)
        return error_set(err, EINVAL, "%s: a disk of %" PRIu64 " bytes cannot hold a GPT", d->name,
                         d->size);
    for (size_t i = 0; i < t->count; i++)
        if (t->parts[i].start % SECTOR || t->parts[i].size % SECTOR || t->parts[i].number == 0 ||
            t->parts[i].number > PARTITIONS_MAX)
            return error_set(err, EINVAL,
                             "%s: partition %u is not in whole sectors, or no GPT "
                             "partition",
                             d->name, t->parts[i].number);
    int r = check_overlaps(t, d->name, err);
    if (r < 0)
        return r;
    _close_ int fd = sketch_open(d, 0, 0, err);
    if (fd < 0)
        return fd;
    r = write_sketch(fd, t, d->name, err);
    if (r == 0)
        r = expect_written(fd, t, d->name, err);
    if (r == 0)
        r = copy_area(fd, d, BOOT_CODE_SIZE, HEAD_SECTORS * SECTOR - BOOT_CODE_SIZE, err);
    if (r == 0)
        r = copy_area(fd, d, d->size - TAIL_SECTORS * SECTOR, TAIL_SECTORS * SECTOR, err);
    return r;
}
