#include "image/encrypt_image.h"
#include "crypto/volume_key.h"
#include "disk/luks.h"
#include "image/grubgen.h"

#include <string.h>

#define BOOT_CODE_SIZE 440 /* of the first sector (UEFI, 5.2.1) */

/* ---- partitions other than the root ---- */

/*
 * What lies between partitions is not copied: nothing of a GPT disk boots from there, and it may
 * hold what an earlier partition left.
 */
static int copy_others(struct image_plan *p, struct blockdev *to, const struct progress *progress,
                       struct error *err)
{
    uint8_t boot_code[BOOT_CODE_SIZE];
    int r = blockdev_read(p->layout.disk, boot_code, sizeof(boot_code), 0, err);
    if (r == 0)
        r = blockdev_write(to, boot_code, sizeof(boot_code), 0, err);
    if (r == 0)
        r = partition_table_write(&p->table, to, err);
    for (size_t i = 0; r == 0 && i < p->layout.table.count; i++) {
        const struct partition *q = &p->layout.table.parts[i];
        if ((int)i != p->layout.root)
            r = copy_range(p->layout.disk, to, q->start, q->start, q->size, progress, err);
    }
    return r;
}

/* ---- boot files ---- */
static int open_boot(struct filesystem **ret, struct blockdev **window, struct image_plan *p,
                     int index, struct blockdev *to, struct error *err)
{
    const struct partition *q = &p->table.parts[index];
    int r = blockdev_window(window, to, q->start, q->size, err);
    return r < 0 ? r : filesystem_open(ret, *window, true, err);
}

static int write_boot_files(struct image_plan *p, struct filesystem *fs, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->kernel_count; i++)
        r = filesystem_write_file(fs, p->kernels[i].initramfs_path,
                                  buffer_bytes(&p->kernels[i].initramfs), 0, err);
    if (r == -ENOSPC)
        return error_hint(err, r, "remove old kernels in the guest, or enlarge its /boot");
    if (r == 0 && !p->bootpath.main_on_esp)
        r = filesystem_write_file(fs, p->bootpath.main_path, buffer_bytes(&p->grub_cfg), 0, err);
    return r;
}

static int write_esp_files(struct image_plan *p, struct filesystem *fs, struct error *err)
{
    const struct bootpath *b = &p->bootpath;
    int r = 0;
    for (size_t i = 0; r == 0 && i < b->config_count; i++) {
        bool main = b->main_on_esp && i == b->first;
        if (main || !b->configs[i].plain)
            r = filesystem_write_file(fs, b->configs[i].path,
                                      buffer_bytes(main ? &p->grub_cfg : &p->stub), 0, err);
    }
    return r;
}

static int rewrite(struct image_plan *p, int index, struct blockdev *to,
                   int (*write)(struct image_plan *p, struct filesystem *fs, struct error *err),
                   struct error *err)
{
    _blockdev_ struct blockdev *window = NULL;
    _filesystem_ struct filesystem *fs = NULL;
    int r = open_boot(&fs, &window, p, index, to, err);
    if (r == 0)
        r = write(p, fs, err);
    if (r == 0)
        r = filesystem_close(TAKE_PTR(fs), err);
    return r < 0 ? error_prefix(err, r, "partition %u", p->table.parts[index].number) : 0;
}

/* ---- the root ---- */
static int encrypt_root(struct image_plan *p, const struct secret *secret, struct blockdev *to,
                        bool full, const struct progress *progress, struct encrypt_stats *ret,
                        struct error *err)
{
    const struct partition *q = &p->table.parts[p->layout.root];
    _blockdev_ struct blockdev *partition = NULL;
    _blockdev_ struct blockdev *data = NULL;
    _secret_ struct secret *key = NULL;
    struct filesystem *fs;
    int r = layout_filesystem(&p->layout, p->layout.root, &fs, err);
    if (r == 0)
        r = volume_key_derive(&key, secret, p->volume_uuid, err);
    if (r == 0)
        r = blockdev_window(&partition, to, q->start, q->size, err);
    if (r == 0)
        r = luks_format(partition, p->volume_uuid, p->sector_size, key, secret, err);
    if (r == 0)
        r = blockdev_window(&data, partition, LUKS_DATA_OFFSET, q->size - LUKS_DATA_OFFSET, err);
    if (r < 0)
        return r;
    struct encrypt_options o = {.key = key, .sector_size = p->sector_size, .full = full};
    /* With free blocks: the whole partition. Without: as far as the filesystem goes. */
    return encrypt_volume(p->layout.parts[p->layout.root].window, full ? NULL : fs, data,
                          full ? p->data_size : filesystem_size(fs), &o, progress, ret, err);
}

static int write_image(struct image_plan *p, const struct secret *secret, struct atomic_file *out,
                       const struct image_target *t, const struct progress *progress,
                       struct encrypt_stats *ret, struct error *err)
{
    _blockdev_ struct blockdev *to = NULL;
    int r = blockdev_create(&to, out->fd, t->path, t->format, p->table.disk_size, err);
    if (r == 0)
        r = copy_others(p, to, progress, err);
    /* The small things first: what does not fit into /boot shows before the long work. */
    if (r == 0)
        r = rewrite(p, p->layout.boot, to, write_boot_files, err);
    if (r == 0)
        r = rewrite(p, p->layout.esp, to, write_esp_files, err);
    if (r == 0)
        r = encrypt_root(p, secret, to, t->full, progress, ret, err);
    return r < 0 ? r : blockdev_flush(to, err);
}

/*
 * When both are on the disk whole, and only names are missing. The image comes last: where it is,
 * everything is.
 */
static int name_both(struct atomic_file *image, struct atomic_file *references, struct error *err)
{
    bool replaced = name_is_taken(references->path);
    int r = atomic_file_name(references, err);
    if (r < 0)
        return r;
    r = atomic_file_name(image, err);
    if (r < 0 && !replaced)
        unlink(references->path);
    if (r < 0 && replaced)
        return error_hint(err, r, "%s was replaced already, and is not of the image there",
                          references->path);
    if (r == 0)
        r = atomic_file_sync_folder(references, err);
    return r == 0 ? atomic_file_sync_folder(image, err) : r;
}

int image_perform(struct image_plan *p, const struct secret *secret, const struct image_target *t,
                  const struct progress *progress, struct encrypt_stats *ret, struct error *err)
{
    _atomic_file_ struct atomic_file image = ATOMIC_FILE_NONE;
    _atomic_file_ struct atomic_file references = ATOMIC_FILE_NONE;
    _buffer_ struct buffer text = {0};
    struct encrypt_stats stats = {0};
    int r = reference_values_format(&p->references, &text, err);
    if (r == 0)
        r = atomic_file_open(&image, t->path, 0644, t->replace, err);
    if (r == 0)
        r = atomic_file_open(&references, t->reference_path, 0644, t->replace, err);
    if (r == 0)
        r = write_image(p, secret, &image, t, progress, &stats, err);
    if (r == 0 && (r = write_exact(references.fd, text.data, text.size)) < 0)
        r = error_errno(err, -r, "%s", t->reference_path);
    if (r == 0)
        r = atomic_file_sync(&image, err);
    if (r == 0)
        r = atomic_file_sync(&references, err);
    if (r == 0)
        r = name_both(&image, &references, err);
    if (r == 0)
        *ret = stats;
    return r;
}
