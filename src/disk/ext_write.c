/*
 * Writing a file into an ext filesystem: a new inode for the name, always. The old one loses a
 * link, and is freed with its blocks when that was the last. All times are given, so that the
 * same content gives the same image.
 */
#include "disk/ext_internal.h"

#include <inttypes.h>
#include <string.h>

struct place {
    ext2_ino_t folder;
    const char *name; /* the path's last part */
    ext2_ino_t old;   /* 0: the name is free */
    struct ext2_inode old_inode;
};

static int find_place(struct ext *x, const char *path, struct place *p, struct error *err)
{
    const char *slash = strrchr(path, '/');
    if (path[0] != '/' || !slash[1] || strlen(slash + 1) > EXT2_NAME_LEN)
        return error_set(err, EINVAL, "%s: '%s' is not the absolute path of a file", x->fs.d->name,
                         path);
    _free_ char *folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!folder)
        return error_set(err, ENOMEM, "out of memory");
    p->name = slash + 1;
    int r = ext_find(x, folder, &p->folder, err);
    if (r < 0)
        return r;
    errcode_t code = ext2fs_check_directory(x->e2, p->folder);
    if (code == 0)
        code = ext2fs_lookup(x->e2, p->folder, p->name, (int)strlen(p->name), NULL, &p->old);
    if (code == EXT2_ET_FILE_NOT_FOUND) {
        p->old = 0;
        return 0;
    }
    if (code == 0)
        code = ext2fs_read_inode(x->e2, p->old, &p->old_inode);
    if (code)
        return ext_error(x, code, path, err);
    if (!LINUX_S_ISREG(p->old_inode.i_mode))
        return error_set(err, LINUX_S_ISDIR(p->old_inode.i_mode) ? EISDIR : EINVAL,
                         "%s: %s: exists and is not a regular file", x->fs.d->name, path);
    return 0;
}

/* Before anything is changed. What the old content frees is counted as free. */
static int check_space(struct ext *x, struct place *p, const char *path, size_t size,
                       struct error *err)
{
    /* With "bigalloc" blocks are given out in clusters. */
    const uint64_t block = (uint64_t)x->fs.block_size * (uint64_t)EXT2FS_CLUSTER_RATIO(x->e2);
    uint64_t available = ext2fs_free_blocks_count(x->e2->super) * x->fs.block_size / block;
    if (p->old && p->old_inode.i_links_count == 1)
        available += ext2fs_get_stat_i_blocks(x->e2, &p->old_inode) / (block / 512);
    /* One block in a hundred or so goes to extents or block maps, one to a longer folder. */
    uint64_t content = size / block + (size % block != 0);
    uint64_t needed = content + content / 100 + 4;
    if (needed <= available)
        return 0;
    return error_set(err, ENOSPC,
                     "%s: %s: no space left: needs %" PRIu64 " bytes, %" PRIu64 " are free",
                     x->fs.d->name, path, needed * block, available * block);
}

static errcode_t free_inode(ext2_filsys e2, ext2_ino_t number, struct ext2_inode *inode)
{
    errcode_t code = ext2fs_free_ext_attr(e2, number, (struct ext2_inode_large *)NULL);
    if (code == 0 && ext2fs_inode_has_valid_blocks2(e2, inode))
        code = ext2fs_punch(e2, number, inode, NULL, 0, ~(blk64_t)0);
    if (code)
        return code;
    ext2fs_inode_alloc_stats2(e2, number, -1, 0);
    /* A deletion time would be one more thing that differs; all zeros is an inode never used. */
    _free_ struct ext2_inode *zeros = calloc(1, EXT2_INODE_SIZE(e2->super));
    return zeros ? ext2fs_write_inode_full(e2, number, zeros, EXT2_INODE_SIZE(e2->super))
                 : EXT2_ET_NO_MEMORY;
}

static errcode_t unlink_old(ext2_filsys e2, struct place *p)
{
    errcode_t code = ext2fs_unlink(e2, p->folder, p->name, p->old, 0);
    if (code)
        return code;
    if (p->old_inode.i_links_count > 1) {
        p->old_inode.i_links_count--;
        return ext2fs_write_inode(e2, p->old, &p->old_inode);
    }
    return free_inode(e2, p->old, &p->old_inode);
}

static void set_times(struct ext2_inode_large *inode, int64_t mtime)
{
    /* Seconds beyond 32 bits: two bits of "extra" ("Inode Timestamps" in the kernel's ext4). */
    uint32_t low = (uint32_t)mtime;
    uint32_t extra = (uint32_t)((mtime - (int32_t)low) >> 32) & 3;
    inode->i_atime = inode->i_ctime = inode->i_mtime = inode->i_crtime = low;
    inode->i_atime_extra = inode->i_ctime_extra = inode->i_mtime_extra = extra;
    inode->i_crtime_extra = extra;
}

static errcode_t new_inode(ext2_filsys e2, ext2_ino_t number, size_t size, int64_t mtime)
{
    _free_ uint8_t *space = calloc(1, EXT2_INODE_SIZE(e2->super) + sizeof(struct ext2_inode_large));
    if (!space)
        return EXT2_ET_NO_MEMORY;
    struct ext2_inode_large *inode = (struct ext2_inode_large *)space;
    inode->i_mode = LINUX_S_IFREG | 0600;
    inode->i_links_count = 1;
    set_times(inode, mtime);
    errcode_t code = ext2fs_inode_size_set(e2, (struct ext2_inode *)inode, (ext2_off64_t)size);
    if (code == 0 && ext2fs_has_feature_extents(e2->super)) {
        ext2_extent_handle_t handle;
        inode->i_flags |= EXT4_EXTENTS_FL;
        code = ext2fs_extent_open2(e2, number, (struct ext2_inode *)inode, &handle);
        if (code == 0)
            ext2fs_extent_free(handle);
    }
    if (EXT2_INODE_SIZE(e2->super) > EXT2_GOOD_OLD_INODE_SIZE)
        inode->i_extra_isize = sizeof(*inode) - EXT2_GOOD_OLD_INODE_SIZE;
    return code ? code
                : ext2fs_write_inode_full(e2, number, (struct ext2_inode *)inode,
                                          EXT2_INODE_SIZE(e2->super));
}

static errcode_t link_name(ext2_filsys e2, const struct place *p, ext2_ino_t number)
{
    errcode_t code = ext2fs_link(e2, p->folder, p->name, number, EXT2_FT_REG_FILE);
    if (code != EXT2_ET_DIR_NO_SPACE)
        return code;
    code = ext2fs_expand_dir(e2, p->folder);
    return code ? code : ext2fs_link(e2, p->folder, p->name, number, EXT2_FT_REG_FILE);
}

static errcode_t write_content(ext2_filsys e2, ext2_ino_t number, struct bytes content)
{
    ext2_file_t file;
    errcode_t code = ext2fs_file_open(e2, number, EXT2_FILE_WRITE, &file);
    if (code)
        return code;
    for (size_t at = 0; at < content.size && code == 0;) {
        size_t left = content.size - at;
        unsigned step = left < (1u << 20) ? (unsigned)left : 1u << 20, done = 0;
        code = ext2fs_file_write(file, content.data + at, step, &done);
        at += done;
    }
    errcode_t closed = ext2fs_file_close(file);
    return code ? code : closed;
}

static errcode_t create(ext2_filsys e2, const struct place *p, struct bytes content, int64_t mtime)
{
    ext2_ino_t number;
    errcode_t code = ext2fs_new_inode(e2, p->folder, LINUX_S_IFREG | 0600, 0, &number);
    if (code == 0)
        code = new_inode(e2, number, content.size, mtime);
    if (code)
        return code;
    ext2fs_inode_alloc_stats2(e2, number, +1, 0);
    code = write_content(e2, number, content);
    return code ? code : link_name(e2, p, number);
}

int ext_write_file(struct filesystem *fs, const char *path, struct bytes content, int64_t mtime,
                   struct error *err)
{
    struct ext *x = (struct ext *)fs;
    struct place p = {0};
    int r = find_place(x, path, &p, err);
    if (r == 0)
        r = check_space(x, &p, path, content.size, err);
    if (r < 0)
        return r;
    errcode_t code = x->e2->block_map && x->e2->inode_map ? 0 : ext2fs_read_bitmaps(x->e2);
    /* What libext2fs takes for the time, of the superblock too; 0 would be the real time. */
    x->e2->now = mtime ? (time_t)mtime : 1;
    if (code == 0 && p.old)
        code = unlink_old(x->e2, &p);
    if (code == 0)
        code = create(x->e2, &p, content, mtime);
    return code ? ext_error(x, code, path, err) : 0;
}
