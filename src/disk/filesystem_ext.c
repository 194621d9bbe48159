/* ext2, ext3 and ext4 by libext2fs. The image is hostile as far as its author pleases. */
#include "disk/ext_internal.h"

#include <inttypes.h>
#include <string.h>

static const struct meaning {
    errcode_t code;
    int value;
} meanings[] = {
    {EXT2_ET_FILE_NOT_FOUND, ENOENT},
    {EXT2_ET_NO_DIRECTORY, ENOTDIR},
    {EXT2_ET_SYMLINK_LOOP, ELOOP},
    {EXT2_ET_BLOCK_ALLOC_FAIL, ENOSPC},
    {EXT2_ET_INODE_ALLOC_FAIL, ENOSPC},
    {EXT2_ET_NO_MEMORY, ENOMEM},
    {EXT2_ET_UNSUPP_FEATURE, EOPNOTSUPP},
    {EXT2_ET_RO_UNSUPP_FEATURE, EOPNOTSUPP},
    {EXT2_ET_SHORT_READ, EIO},
    {EXT2_ET_SHORT_WRITE, EIO},
};

static int meaning_of(errcode_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
        if (meanings[i].code == code)
            return meanings[i].value;
    return code > 0 && code < 256 ? (int)code : EBADMSG; /* low numbers are those of errno */
}

int ext_error(struct ext *x, errcode_t code, const char *path, struct error *err)
{
    int value = meaning_of(code);
    if (value == ENOENT || value == ENOTDIR || value == ELOOP)
        return error_errno(err, value, "%s: %s", x->fs.d->name, path);
    if (value == EIO && x->io.code != 0) {
        if (err)
            *err = x->io;
        return error_prefix(err, -value, "%s", path);
    }
    return error_set(err, value, "%s: %s: %s", x->fs.d->name, path, error_message(code));
}

/* libext2fs takes what is between two slashes for a name, even if it is nothing. */
static void squeeze_slashes(char *path)
{
    char *to = path;
    for (const char *from = path; *from; from++)
        if (from[0] != '/' || (from[1] != '/' && (from[1] || to == path)))
            *to++ = *from;
    *to = '\0';
}

int ext_find(struct ext *x, const char *path, ext2_ino_t *ret, struct error *err)
{
    if (path[0] != '/')
        return error_set(err, EINVAL, "%s: expected an absolute path, found '%s'", x->fs.d->name,
                         path);
    _free_ char *plain = strdup(path);
    if (!plain)
        return error_set(err, ENOMEM, "out of memory");
    squeeze_slashes(plain);
    /* The root it is given is where absolute links start too; ".." of the root is the root. */
    errcode_t code = ext2fs_namei_follow(x->e2, EXT2_ROOT_INO, EXT2_ROOT_INO, plain, ret);
    return code ? ext_error(x, code, path, err) : 0;
}

static bool ext_exists(struct filesystem *fs, const char *path)
{
    ext2_ino_t inode;
    return ext_find((struct ext *)fs, path, &inode, NULL) == 0;
}

/* ---- reading a file ---- */
static int find_regular(struct ext *x, const char *path, ext2_ino_t *number,
                        struct ext2_inode *inode, struct error *err)
{
    int r = ext_find(x, path, number, err);
    if (r < 0)
        return r;
    errcode_t code = ext2fs_read_inode(x->e2, *number, inode);
    if (code)
        return ext_error(x, code, path, err);
    if (LINUX_S_ISDIR(inode->i_mode))
        return error_errno(err, EISDIR, "%s: %s", x->fs.d->name, path);
    if (!LINUX_S_ISREG(inode->i_mode))
        return error_set(err, EINVAL, "%s: %s: expected a regular file", x->fs.d->name, path);
    if (inode->i_flags & EXT4_ENCRYPT_FL)
        return error_set(err, EOPNOTSUPP, "%s: %s: is encrypted", x->fs.d->name, path);
    return 0;
}

static errcode_t read_content(struct ext *x, ext2_ino_t number, struct ext2_inode *inode,
                              uint8_t *to, size_t n)
{
    ext2_file_t file;
    errcode_t code = ext2fs_file_open2(x->e2, number, inode, 0, &file);
    if (code)
        return code;
    while (n > 0 && code == 0) {
        unsigned want = n < (1u << 20) ? (unsigned)n : 1u << 20, got = 0;
        code = ext2fs_file_read(file, to, want, &got);
        if (code == 0 && got == 0)
            code = EXT2_ET_SHORT_READ;
        to += got;
        n -= got;
    }
    ext2fs_file_close(file);
    return code;
}

static int ext_read_file(struct filesystem *fs, const char *path, size_t max, struct buffer *ret,
                         struct error *err)
{
    struct ext *x = (struct ext *)fs;
    ext2_ino_t number;
    struct ext2_inode inode;
    int r = find_regular(x, path, &number, &inode, err);
    if (r < 0)
        return r;
    uint64_t size = EXT2_I_SIZE(&inode);
    if (size > max)
        return error_set(err, EFBIG, "%s: %s: %" PRIu64 " bytes, larger than the limit of %zu",
                         fs->d->name, path, size, max);
    _buffer_ struct buffer b = {.max = (size_t)size + 1};
    if (buffer_reserve(&b, (size_t)size + 1) < 0)
        return error_set(err, ENOMEM, "%s: %s: out of memory", fs->d->name, path);
    errcode_t code = read_content(x, number, &inode, b.data, (size_t)size);
    if (code)
        return ext_error(x, code, path, err);
    b.size = (size_t)size;
    b.data[b.size] = '\0';
    b.max = 0;
    *ret = b;
    b = (struct buffer){0};
    return 0;
}

/* ---- listing a folder ---- */
struct listing {
    struct names names;
    int result;
};

static int list_entry(ext2_ino_t folder, int entry, struct ext2_dir_entry *de, int offset,
                      int blocksize, char *block, void *arg)
{
    struct listing *l = arg;
    size_t n = (size_t)ext2fs_dirent_name_len(de);
    /* Not by `entry`: in a folder with inline data it does not tell. */
    if (n == 0 || (n == 1 && de->name[0] == '.') || (n == 2 && memcmp(de->name, "..", 2) == 0))
        return 0;
    if (memchr(de->name, '/', n) || memchr(de->name, '\0', n))
        l->result = -EBADMSG; /* a name that would lead elsewhere */
    else
        l->result = names_add(&l->names, de->name, n);
    return l->result < 0 ? DIRENT_ABORT : 0;
}

static int ext_list(struct filesystem *fs, const char *path, char ***ret, struct error *err)
{
    struct ext *x = (struct ext *)fs;
    ext2_ino_t number;
    int r = ext_find(x, path, &number, err);
    if (r < 0)
        return r;
    struct listing l = {0};
    errcode_t code = ext2fs_check_directory(x->e2, number);
    if (code == 0)
        code = ext2fs_dir_iterate2(x->e2, number, 0, NULL, list_entry, &l);
    if (code)
        r = ext_error(x, code, path, err);
    else if (l.result < 0)
        r = error_errno(err, -l.result, "%s: %s: listing it", fs->d->name, path);
    else if (!l.names.list && !(l.names.list = calloc(1, sizeof(*l.names.list))))
        r = error_set(err, ENOMEM, "out of memory");
    if (r < 0) {
        names_free(&l.names);
        return r;
    }
    names_sort(&l.names);
    *ret = l.names.list;
    return 0;
}

/* ---- what is used ---- */
/*
 * A clean filesystem's bitmap covers all metadata. They are marked once more all the same: a block
 * that was marked needlessly costs a write, one that was missed a filesystem.
 */
static errcode_t mark_metadata(ext2_filsys e2, ext2fs_block_bitmap map)
{
    uint64_t blocks = ext2fs_blocks_count(e2->super);
    for (dgrp_t g = 0; g < e2->group_desc_count; g++) {
        ext2fs_reserve_super_and_bgd(e2, g, map);
        uint64_t table = ext2fs_inode_table_loc(e2, g);
        if (table >= blocks || e2->inode_blocks_per_group > blocks - table)
            return EXT2_ET_GDESC_BAD_INODE_TABLE;
        ext2fs_mark_block_bitmap2(map, ext2fs_block_bitmap_loc(e2, g));
        ext2fs_mark_block_bitmap2(map, ext2fs_inode_bitmap_loc(e2, g));
        ext2fs_mark_block_bitmap_range2(map, table, e2->inode_blocks_per_group);
    }
    if (ext2fs_has_feature_mmp(e2->super) && e2->super->s_mmp_block < blocks)
        ext2fs_mark_block_bitmap2(map, e2->super->s_mmp_block);
    return 0;
}

struct emitter {
    blockdev_extent_fn fn;
    void *arg;
    uint32_t block_size;
    uint64_t sent; /* bytes up to here were told of */
    uint64_t end;  /* of the filesystem */
};

/* Blocks up to `until` (exclusive) are all used or all free. Never ends inside a 4 KiB sector. */
static int emit(struct emitter *e, uint64_t until, bool hole)
{
    const uint64_t sector = 4096;
    uint64_t end = until * e->block_size;
    if (hole)
        end -= end % sector;
    else if (end % sector)
        end += sector - end % sector;
    if (end > e->end || until * e->block_size == e->end)
        end = e->end;
    if (end <= e->sent)
        return 0;
    int r = e->fn(e->arg, e->sent, end - e->sent, hole);
    e->sent = end;
    return r;
}

/* The first block from `at` that is marked (or not), or `count` where there is none. */
static errcode_t find_next(ext2fs_block_bitmap map, bool marked, uint64_t at, uint64_t count,
                           uint64_t *ret)
{
    blk64_t found = count;
    errcode_t code = marked ? ext2fs_find_first_set_block_bitmap2(map, at, count - 1, &found)
                            : ext2fs_find_first_zero_block_bitmap2(map, at, count - 1, &found);
    *ret = code == 0 ? found : count;
    return code == ENOENT ? 0 : code;
}

/* Returns what the emitter's function did. An error of the library goes to *code: were it taken
 * for "none", used blocks would be lost. */
static int walk(ext2_filsys e2, ext2fs_block_bitmap map, struct emitter *e, errcode_t *code)
{
    const uint64_t count = ext2fs_blocks_count(e2->super), first = e2->super->s_first_data_block;
    /* Before the first block (1 KiB blocks) is a boot sector. */
    int r = emit(e, first, false);
    uint64_t at = first;
    for (bool marked = true; at < count && r == 0; marked = !marked) {
        *code = find_next(map, marked, at, count, &at);
        if (*code)
            return 0;
        r = emit(e, at, marked);
    }
    return r;
}

static int ext_used(struct filesystem *fs, blockdev_extent_fn fn, void *arg, struct error *err)
{
    struct ext *x = (struct ext *)fs;
    ext2fs_block_bitmap map = NULL;
    errcode_t code = x->e2->block_map ? 0 : ext2fs_read_block_bitmap(x->e2);
    if (code == 0)
        code = ext2fs_copy_bitmap(x->e2->block_map, &map);
    if (code == 0)
        code = mark_metadata(x->e2, map);
    struct emitter e = {.fn = fn, .arg = arg, .block_size = fs->block_size, .end = fs->size};
    int r = code ? 0 : walk(x->e2, map, &e, &code);
    if (map)
        ext2fs_free_block_bitmap(map);
    return code ? ext_error(x, code, "block bitmap", err) : r;
}

/* ---- opening ---- */
static int refuse_dirty(struct ext *x, const char *why, struct error *err)
{
    int r = error_set(err, EUCLEAN, "%s: the filesystem was not unmounted cleanly: %s",
                      x->fs.d->name, why);
    return error_hint(err, r, "boot the guest once and shut it down, or run e2fsck -f on it");
}

/* What its journal says is not here to be read, and no other device comes with the image. */
static bool journal_is_elsewhere(struct ext2_super_block *sb)
{
    return ext2fs_has_feature_journal(sb) &&
           (sb->s_journal_inum == 0 || !bytes_are_zero(sb->s_journal_uuid, 16));
}

static int check_state(struct ext *x, struct error *err)
{
    const struct ext2_super_block *sb = x->e2->super;
    if (ext2fs_has_feature_journal_needs_recovery(x->e2->super))
        return refuse_dirty(x, "its journal must be replayed", err);
    if (ext2fs_has_feature_journal_dev(x->e2->super))
        return error_set(err, EOPNOTSUPP, "%s: is the journal of another filesystem",
                         x->fs.d->name);
    if (journal_is_elsewhere(x->e2->super))
        return error_hint(
            err, error_set(err, EOPNOTSUPP, "%s: its journal is on another device", x->fs.d->name),
            "give it one of its own: tune2fs -O ^has_journal, then tune2fs -j");
    if (sb->s_state & EXT2_ERROR_FS)
        return refuse_dirty(x, "errors were found in it", err);
    if (!(sb->s_state & EXT2_VALID_FS))
        return refuse_dirty(x, "it is marked as in use", err);
    if (sb->s_last_orphan != 0 || ext2fs_has_feature_orphan_present(x->e2->super))
        return refuse_dirty(x, "it has orphaned files", err);
    if (x->fs.writable && ext2fs_has_feature_quota(x->e2->super))
        return error_set(err, EOPNOTSUPP, "%s: has quotas, which are not kept when writing",
                         x->fs.d->name);
    return 0;
}

static int check_size(struct ext *x, struct error *err)
{
    uint64_t blocks = ext2fs_blocks_count(x->e2->super);
    if (blocks > x->fs.d->size / x->fs.block_size)
        return error_set(err, EBADMSG,
                         "%s: the filesystem has %" PRIu64 " blocks of %u bytes, but its partition "
                         "only %" PRIu64 " bytes",
                         x->fs.d->name, blocks, x->fs.block_size, x->fs.d->size);
    x->fs.size = blocks * x->fs.block_size;
    return 0;
}

static int check(struct ext *x, struct error *err)
{
    int r = check_state(x, err);
    if (r == 0)
        r = check_size(x, err);
    if (r < 0)
        return r;
    errcode_t code = ext2fs_check_desc(x->e2);
    return code ? ext_error(x, code, "group descriptors", err) : 0;
}

static int ext_flush(struct filesystem *fs, struct error *err)
{
    struct ext *x = (struct ext *)fs;
    /* Writes the bitmaps too, if they changed; and nothing at all if nothing did. */
    errcode_t code = x->e2->flags & EXT2_FLAG_DIRTY ? ext2fs_flush(x->e2) : 0;
    return code ? ext_error(x, code, "superblock", err) : 0;
}

static void ext_free(struct filesystem *fs)
{
    struct ext *x = (struct ext *)fs;
    if (x->e2)
        ext2fs_free(x->e2); /* unlike ext2fs_close: writes nothing */
    free(x);
}

static const struct filesystem_ops ext_ops = {.read_file = ext_read_file,
                                              .exists = ext_exists,
                                              .list = ext_list,
                                              .write_file = ext_write_file,
                                              .used = ext_used,
                                              .flush = ext_flush,
                                              .free = ext_free};

int ext_open(struct filesystem **ret, struct blockdev *d, bool writable, struct error *err)
{
    initialize_ext2_error_table();
    _filesystem_ struct filesystem *fs = calloc(1, sizeof(struct ext));
    if (!fs)
        return error_set(err, ENOMEM, "%s: out of memory", d->name);
    struct ext *x = (struct ext *)fs;
    x->fs = (struct filesystem){.ops = &ext_ops, .d = d, .type = FS_EXT, .writable = writable};
    /* MMP would wait for other users of a shared disk: there are none of this file. */
    int flags = EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP | (writable ? EXT2_FLAG_RW : 0);
    errcode_t code = ext_io_open(&x->e2, d, flags, &x->io);
    if (code) {
        x->e2 = NULL;
        return ext_error(x, code, "superblock", err);
    }
    x->fs.block_size = x->e2->blocksize;
    x->fs.has_uuid = true;
    memcpy(x->fs.uuid, x->e2->super->s_uuid, 16);
    int r = check(x, err);
    if (r == 0)
        *ret = TAKE_PTR(fs);
    return r;
}
