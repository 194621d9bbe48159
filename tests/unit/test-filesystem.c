#include "scratch.h"
#include "disk/filesystem.h"

#include <dlfcn.h>
#include <ext2fs/ext2fs.h>

#define MIB ((uint64_t)1 << 20)
#define MTIME INT64_C(1700000000)
#define SIZE (48 * MIB)
#define BIG_SIZE 300000

static const char *const ext_kinds[][8] = {
    {"-t", "ext4", "-b", "4096", NULL},
    {"-t", "ext4", "-b", "1024", NULL},
    {"-t", "ext4", "-O", "^metadata_csum,^64bit,^extents,^flex_bg", NULL},
    {"-t", "ext4", "-O", "bigalloc", "-C", "65536", NULL},
    {"-t", "ext4", "-O", "inline_data,mmp", "-E", "mmp_update_interval=1", NULL},
    {"-t", "ext3", NULL},
    {"-t", "ext2", "-b", "2048", "-I", "128", NULL},
};

/* The tree that the filesystems are made from. */
static void make_tree(void)
{
    run("mkdir", "-p", "tree/usr/lib/modules/6.1", "tree/boot/grub", "tree/etc", "tree/many");
    write_at("tree/etc/fstab", "UUID=x / ext4\n", 14, 0);
    write_at("tree/boot/grub/grub.cfg", "menuentry old\n", 14, 0);
    write_at("tree/empty", "", 0, 0);
    make_random("tree/big", BIG_SIZE, 5);
    make_sparse("tree/sparse", 200000);
    write_at("tree/sparse", "end", 3, 199997);
    static const char *const links[][2] = {{"usr/lib", "tree/lib"},
                                           {"/etc/fstab", "tree/usr/lib/absolute"},
                                           {"loop2", "tree/loop1"},
                                           {"loop1", "tree/loop2"},
                                           {"../../../../../etc/fstab", "tree/usr/out"},
                                           {"nowhere", "tree/dangling"}};
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        assert_int_equal(symlink(links[i][0], links[i][1]), 0);
    assert_int_equal(link("tree/etc/fstab", "tree/etc/fstab.again"), 0);
    for (int i = 0; i < 300; i++) {
        char name[64];
        snprintf(name, sizeof(name), "tree/many/a-rather-long-name-%03d", i);
        write_at(name, name, strlen(name), 0);
    }
}

static void make_ext(const char *path, const char *const kind[], uint64_t size)
{
    const char *argv[20] = {
        "mke2fs", "-q", "-F", "-d", "tree", "-U", "12345678-1234-5678-9abc-def012345678"};
    size_t n = 7;
    while (*kind)
        argv[n++] = *kind++;
    argv[n++] = path;
    make_sparse(path, size);
    run_expecting(0, argv, BYTES_NONE, NULL);
}

struct opened {
    struct blockdev *d;
    struct filesystem *fs;
    int fd;
};

static struct opened open_fs(const char *path, bool writable)
{
    struct error err = {0};
    struct opened o = {.fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC)};
    assert_true(o.fd >= 0);
    assert_ok(blockdev_from_fd(&o.d, o.fd, path, writable, &err));
    assert_ok(filesystem_open(&o.fs, o.d, writable, &err));
    return o;
}

static void close_fs(struct opened *o)
{
    struct error err = {0};
    assert_ok(filesystem_close(o->fs, &err));
    assert_ok(blockdev_flush(o->d, &err));
    blockdev_close(o->d);
    close(o->fd);
}

static void expect_file(struct filesystem *fs, const char *path, const void *p, size_t n)
{
    struct error err = {0};
    _buffer_ struct buffer b = {0};
    assert_ok(filesystem_read_file(fs, path, n, &b, &err));
    assert_int_equal(b.size, n);
    assert_memory_equal(b.data, p, n);
    assert_int_equal(b.data[n], '\0');
}

static void expect_failure(struct filesystem *fs, const char *path, size_t max, int code)
{
    struct error err = {0};
    struct buffer b = {.size = 4711};
    int r = filesystem_read_file(fs, path, max, &b, &err);
    if (r != -code || b.size != 4711)
        fail_msg("%s: expected %d, found %d: %s", path, -code, r, err.text);
    assert_true(err.code == code && strstr(err.text, path));
}

static void check_reading(struct filesystem *fs)
{
    _free_ uint8_t *big = calloc(1, BIG_SIZE);
    fill_random(big, BIG_SIZE, 5);
    static const char fstab[] = "UUID=x / ext4\n";
    expect_file(fs, "/etc/fstab", fstab, 14);
    expect_file(fs, "/lib/absolute", fstab, 14); /* a link in the way, and an absolute one */
    expect_file(fs, "/usr/out", fstab, 14);      /* ".." stays inside */
    expect_file(fs, "/../etc//./fstab", fstab, 14);
    expect_file(fs, "/big", big, BIG_SIZE);
    expect_file(fs, "/empty", "", 0);
    memset(big, 0, 200000);
    memcpy(big + 199997, "end", 3);
    expect_file(fs, "/sparse", big, 200000);
    expect_failure(fs, "/big", BIG_SIZE - 1, EFBIG);
    expect_failure(fs, "/absent", 100, ENOENT);
    expect_failure(fs, "/dangling", 100, ENOENT);
    expect_failure(fs, "/loop1", 100, ELOOP);
    expect_failure(fs, "/etc", 100, EISDIR);
    expect_failure(fs, "/etc/fstab/x", 100, ENOTDIR);
    expect_failure(fs, "etc/fstab", 100, EINVAL);
    assert_true(filesystem_exists(fs, "/lib/modules/6.1"));
    assert_false(filesystem_exists(fs, "/lib/modules/6.2"));
}

static void check_listing(struct filesystem *fs)
{
    struct error err = {0};
    char **names = NULL;
    assert_ok(filesystem_list(fs, "/etc", &names, &err));
    assert_string_equal(names[0], "fstab");
    assert_string_equal(names[1], "fstab.again");
    assert_null(names[2]);
    strv_free(names);
    assert_ok(filesystem_list(fs, "/many", &names, &err));
    size_t n = 0;
    for (; names[n]; n++)
        assert_true(n == 0 || strcmp(names[n - 1], names[n]) < 0);
    assert_int_equal(n, 300);
    strv_free(names);
    names = NULL;
    assert_ok(filesystem_list(fs, "/boot/grub/../../lib/modules/6.1", &names, &err));
    assert_null(names[0]); /* empty, but there */
    strv_free(names);
    names = NULL;
    assert_int_equal(filesystem_list(fs, "/absent", &names, &err), -ENOENT);
    assert_int_equal(filesystem_list(fs, "/empty", &names, &err), -ENOTDIR);
    assert_null(names);
}

static void ext_is_read(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(ext_kinds); i++) {
        make_ext("e.img", ext_kinds[i], SIZE);
        struct opened o = open_fs("e.img", false);
        assert_int_equal(filesystem_type(o.fs), FS_EXT);
        assert_true(filesystem_size(o.fs) <= SIZE && filesystem_size(o.fs) > SIZE - MIB);
        uint8_t uuid[16];
        assert_int_equal(filesystem_uuid(o.fs, uuid), 0);
        assert_memory_equal(uuid,
                            "\x12\x34\x56\x78\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12\x34\x56\x78", 16);
        check_reading(o.fs);
        check_listing(o.fs);
        struct error err = {0};
        assert_int_equal(filesystem_write_file(o.fs, "/x", BYTES("x", 1), 1, &err), -EROFS);
        close_fs(&o);
    }
}

static void expect_clean(const char *path)
{
    struct error err = {0};
    _buffer_ struct buffer out = {0};
    const char *const argv[] = {"e2fsck", "-f", "-n", path, NULL};
    int r = spawn_wait(argv, NULL, -1, BYTES_NONE, &out, &err);
    if (r != 0)
        fail_msg("e2fsck %s: %d: %.*s", path, r, (int)out.size, (char *)out.data);
}

/* ---- writing ---- */
static void write_some(const char *path)
{
    struct error err = {0};
    _free_ uint8_t *big = calloc(1, 2 * BIG_SIZE);
    fill_random(big, 2 * BIG_SIZE, 9);
    struct opened o = open_fs(path, true);
    assert_ok(filesystem_write_file(o.fs, "/boot/grub/grub.cfg", BYTES("new\n", 4), MTIME, &err));
    assert_ok(filesystem_write_file(o.fs, "/boot/new", BYTES(big, 2 * BIG_SIZE), MTIME, &err));
    assert_ok(filesystem_write_file(o.fs, "/big", BYTES("small", 5), MTIME, &err));
    assert_ok(filesystem_write_file(o.fs, "/lib/empty", BYTES_NONE, MTIME, &err));
    assert_ok(filesystem_write_file(o.fs, "/etc/fstab.again", BYTES("mine", 4), MTIME, &err));
    for (int i = 0; i < 100; i++) { /* the folder must grow */
        char name[300];
        snprintf(name, sizeof(name), "/boot/%03d-%0200d", i, i);
        assert_ok(filesystem_write_file(o.fs, name, BYTES(name, 50), MTIME, &err));
    }
    expect_file(o.fs, "/boot/grub/grub.cfg", "new\n", 4);
    expect_file(o.fs, "/boot/new", big, 2 * BIG_SIZE);
    expect_file(o.fs, "/etc/fstab", "UUID=x / ext4\n", 14); /* the other name of what was linked */
    assert_int_equal(filesystem_write_file(o.fs, "/etc", BYTES("x", 1), 1, &err), -EISDIR);
    assert_int_equal(filesystem_write_file(o.fs, "/lib", BYTES("x", 1), 1, &err), -EINVAL);
    assert_int_equal(filesystem_write_file(o.fs, "/no/x", BYTES("x", 1), 1, &err), -ENOENT);
    close_fs(&o);
}

static void ext_is_written(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(ext_kinds); i++) {
        make_ext("w.img", ext_kinds[i], SIZE);
        expect_clean("w.img");
        run("cp", "w.img", "w2.img");
        write_some("w.img");
        expect_clean("w.img");
        struct opened o = open_fs("w.img", false);
        expect_file(o.fs, "/big", "small", 5);
        expect_file(o.fs, "/usr/lib/empty", "", 0);
        expect_file(o.fs, "/etc/fstab.again", "mine", 4);
        close_fs(&o);
        _buffer_ struct buffer stat = {0}; /* what another program says of it */
        run_output(&stat, "debugfs", "-R", "stat /boot/grub/grub.cfg", "w.img");
        assert_int_equal(buffer_append(&stat, "", 1), 0);
        assert_non_null(strstr((char *)stat.data, "Mode:  0600"));
        assert_non_null(strstr((char *)stat.data, "mtime: 0x6553f100"));
        if (i == 0) /* a second later it gives the same image */
            usleep(1100000);
        write_some("w2.img");
        run("cmp", "w.img", "w2.img");
    }
}

static void a_full_ext_says_so(void **state)
{
    struct error err = {0};
    make_ext("f.img", ext_kinds[0], 4 * MIB);
    struct opened o = open_fs("f.img", true);
    _free_ uint8_t *big = calloc(1, 8 * MIB);
    assert_int_equal(filesystem_write_file(o.fs, "/boot/b", BYTES(big, 8 * MIB), 1, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "needs 8"));
    assert_false(filesystem_exists(o.fs, "/boot/b"));
    close_fs(&o);
    expect_clean("f.img");
    run("cp", "f.img", "f2.img");
    o = open_fs("f2.img", true); /* dropped: nothing of it in the superblock or the bitmaps */
    assert_ok(filesystem_write_file(o.fs, "/boot/c", BYTES("c", 1), 1, &err));
    filesystem_abort(o.fs);
    blockdev_close(o.d);
    close(o.fd);
}

/* ---- refusals ---- */
static void expect_open_error(const char *path, int code, const char *text)
{
    struct error err = {0};
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_from_fd(&d, fd, path, false, &err));
    struct filesystem *fs = NULL;
    int r = filesystem_open(&fs, d, false, &err);
    if (r != -code || !strstr(err.text, text) || fs)
        fail_msg("%s: expected %d and '%s', found %d: %s", path, -code, text, r, err.text);
    assert_true(code != EUCLEAN || strstr(err.hint, "e2fsck"));
}

static void dirty_ext_is_refused(void **state)
{
    static const struct {
        const char *request;
        const char *text;
    } cases[] = {{"feature needs_recovery", "journal"},
                 {"set_super_value state 0", "in use"},
                 {"set_super_value state 3", "errors"},
                 {"set_super_value last_orphan 12", "orphaned"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        make_ext("d.img", ext_kinds[0], 8 * MIB);
        close_fs(&(struct opened[]){open_fs("d.img", false)}[0]);
        run("debugfs", "-w", "-R", cases[i].request, "d.img");
        expect_open_error("d.img", EUCLEAN, cases[i].text);
    }
}

static void what_is_wrong_is_refused(void **state)
{
    make_ext("c.img", ext_kinds[0], 8 * MIB);
    assert_int_equal(truncate("c.img", 7 * MIB), 0);
    expect_open_error("c.img", EBADMSG, "blocks of 4096 bytes");
    make_ext("u.img", ext_kinds[0], 8 * MIB);
    run("debugfs", "-w", "-R", "feature FEATURE_I29", "u.img");
    expect_open_error("u.img", EOPNOTSUPP, "unsupported");
    make_ext("s.img", ext_kinds[0], 8 * MIB);
    write_at("s.img", "xyz", 3, 1024 + 0x78); /* the label, without its checksum */
    expect_open_error("s.img", EBADMSG, "checksum");
    make_ext("j.img", ext_kinds[0], 8 * MIB);
    run("debugfs", "-w", "-R", "set_super_value journal_inum 0", "j.img");
    expect_open_error("j.img", EOPNOTSUPP, "another device");
    make_ext("j.img", ext_kinds[0], 8 * MIB);
    run("debugfs", "-w", "-R", "set_super_value journal_uuid 12345678-1234-5678-9abc-def012345678",
        "j.img");
    expect_open_error("j.img", EOPNOTSUPP, "another device");
    make_sparse("z.img", MIB);
    expect_open_error("z.img", EOPNOTSUPP, "no known filesystem");
    run("mkswap", "-q", "z.img");
    expect_open_error("z.img", EOPNOTSUPP, "swap");
}

static void probe_knows_them(void **state)
{
    static const struct {
        const char *command;
        enum fs_type type;
        const char *name;
    } cases[] = {
        {"mke2fs -q -t ext3 -L lab -U 12345678-1234-5678-9abc-def012345678 p.img", FS_EXT, "ext3"},
        {"mkfs.vfat -n LAB -i 12345678 p.img", FS_FAT, "vfat"},
        {"mkswap -q p.img", FS_SWAP, "swap"},
        {"head -c 32 /dev/zero | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 "
         "--pbkdf-force-iterations 1000 p.img -",
         FS_LUKS, "crypto_LUKS"},
        {"true", FS_UNKNOWN, ""},
        {"mke2fs -q p.img && printf SWAP-SPACE | dd of=p.img bs=1 seek=4086 conv=notrunc", FS_OTHER,
         "ambiguous"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {0};
        make_sparse("p.img", 40 * MIB);
        run("sh", "-c", cases[i].command);
        _blockdev_ struct blockdev *d = NULL;
        _close_ int fd = open("p.img", O_RDONLY | O_CLOEXEC);
        assert_ok(blockdev_from_fd(&d, fd, "p.img", false, &err));
        struct fs_info info;
        assert_ok(filesystem_probe(&info, d, &err));
        assert_int_equal(info.type, cases[i].type);
        assert_string_equal(info.type_name, cases[i].name);
        if (i == 0) {
            assert_string_equal(info.uuid, "12345678-1234-5678-9abc-def012345678");
            assert_string_equal(info.label, "lab");
        }
        if (i == 1)
            assert_string_equal(info.uuid, "1234-5678");
    }
}

/* ---- used blocks ---- */
struct salvage {
    struct blockdev *from, *to;
    uint64_t next, used;
};

static int copy_used(void *arg, uint64_t at, uint64_t length, bool hole)
{
    struct salvage *s = arg;
    assert_int_equal(at, s->next);
    assert_true(at % 4096 == 0 && length > 0);
    s->next += length;
    if (hole)
        return 0;
    s->used += length;
    _free_ uint8_t *p = malloc(length);
    assert_int_equal(blockdev_read(s->from, p, length, at, NULL), 0);
    return blockdev_write(s->to, p, length, at, NULL);
}

/* What is copied of the used runs alone is the whole filesystem. */
static void used_is_all_that_matters(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(ext_kinds); i++) {
        struct error err = {0};
        make_ext("a.img", ext_kinds[i], SIZE);
        run("debugfs", "-w", "-R", "rm /big", "a.img"); /* stale data in free blocks */
        struct opened o = open_fs("a.img", false);
        _close_ int fd = open("b.img", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        _blockdev_ struct blockdev *to = NULL;
        assert_ok(blockdev_create(&to, fd, "b.img", IMAGE_RAW, SIZE, &err));
        struct salvage s = {.from = o.d, .to = to};
        assert_ok(filesystem_used(o.fs, copy_used, &s, &err));
        assert_int_equal(s.next, filesystem_size(o.fs));
        assert_true(s.used < SIZE * 3 / 4);
        close_fs(&o);
        expect_clean("b.img");
        run("sh", "-c",
            "rm -rf x y; mkdir x y; debugfs -R 'rdump / x' a.img; debugfs -R 'rdump / y' b.img");
        run("diff", "-r", "--no-dereference", "x", "y");
        run("test", "-f", "y/etc/fstab");
    }
}

/* In place of libext2fs's: fails when told to. */
static errcode_t bitmap_error;
errcode_t ext2fs_find_first_set_generic_bmap(ext2fs_generic_bitmap map, __u64 start, __u64 end,
                                             __u64 *out)
{
    errcode_t (*real)(ext2fs_generic_bitmap, __u64, __u64, __u64 *) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, __func__);
    return bitmap_error ? bitmap_error : real(map, start, end, out);
}

static int count_used(void *arg, uint64_t at, uint64_t length, bool hole)
{
    (void)at;
    *(uint64_t *)arg += hole ? 0 : length;
    return 0;
}

/* What cannot be read is not free. */
static void an_unreadable_bitmap_is_an_error(void **state)
{
    struct error err = {0};
    make_ext("a.img", ext_kinds[0], 8 * MIB);
    struct opened o = open_fs("a.img", false);
    uint64_t used = 0;
    bitmap_error = EIO;
    assert_int_equal(filesystem_used(o.fs, count_used, &used, &err), -EIO);
    assert_non_null(strstr(err.text, "block bitmap"));
    bitmap_error = 0;
    assert_ok(filesystem_used(o.fs, count_used, &used, &err));
    assert_true(used > 0);
    close_fs(&o);
}

/* Images with bytes spoiled at random: errors are fine, crashes and hangs are not. */
static void spoiled_ext_does_not_crash(void **state)
{
    static const char *const kind[] = {"-t", "ext4", "-O", "^metadata_csum", "-b", "1024", NULL};
    make_ext("good.img", kind, 4 * MIB);
    _buffer_ struct buffer good = {0};
    struct error err = {0};
    assert_ok(read_file("good.img", 16 * MIB, &good, &err));
    uint64_t seed = 1;
    size_t opened = 0;
    for (int round = 0; round < 200; round++) {
        _buffer_ struct buffer bad = {0};
        assert_int_equal(buffer_append(&bad, good.data, good.size), 0);
        for (int i = 0; i < 40; i++) {
            uint8_t random[8];
            seed++;
            fill_random(random, sizeof(random), seed * 77777);
            uint64_t at = (random[0] | random[1] << 8 | random[2] << 16);
            at = round % 2 ? 2048 + at % (600 * 1024) : at % good.size;
            bad.data[at] = random[3];
        }
        _close_ int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        assert_int_equal(pwrite_exact(fd, bad.data, bad.size, 0), 0);
        _blockdev_ struct blockdev *d = NULL;
        assert_ok(blockdev_from_fd(&d, fd, "bad", true, &err));
        struct filesystem *fs = NULL;
        if (filesystem_open(&fs, d, true, &err) < 0)
            continue;
        opened++;
        static const char *const paths[] = {"/etc/fstab", "/big", "/lib/absolute", "/sparse",
                                            "/boot/grub/grub.cfg"};
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
            _buffer_ struct buffer b = {0};
            int r = filesystem_read_file(fs, paths[i], MIB, &b, &err);
            assert_true(r <= 0);
        }
        char **names = NULL;
        if (filesystem_list(fs, "/many", &names, &err) == 0)
            strv_free(names);
        int r = filesystem_write_file(fs, "/boot/grub/grub.cfg", BYTES("abc", 3), 1, &err);
        assert_true(r <= 0);
        filesystem_abort(fs);
    }
    assert_true(opened > 20);
}

/* ---- FAT ---- */
static void make_fat(const char *path, uint64_t size)
{
    make_sparse(path, size);
    run("mkfs.vfat", "-i", "12345678", path);
    run("mmd", "-i", path, "::/EFI", "::/EFI/debian", "::/EFI/Empty");
    run("mcopy", "-i", path, "tree/boot/grub/grub.cfg", "::/EFI/debian/grub.cfg");
    run("mcopy", "-i", path, "tree/big", "::/EFI/debian/a long name.efi");
}

static void fat_is_read(void **state)
{
    struct error err = {0};
    _free_ uint8_t *big = calloc(1, BIG_SIZE);
    fill_random(big, BIG_SIZE, 5);
    make_fat("v.img", 40 * MIB);
    struct opened o = open_fs("v.img", false);
    assert_int_equal(filesystem_type(o.fs), FS_FAT);
    expect_file(o.fs, "/EFI/debian/grub.cfg", "menuentry old\n", 14);
    expect_file(o.fs, "/efi/DEBIAN/A Long Name.efi", big, BIG_SIZE);
    expect_failure(o.fs, "/EFI/debian/a long name.efi", BIG_SIZE - 1, EFBIG);
    expect_failure(o.fs, "/EFI/absent", 100, ENOENT);
    expect_failure(o.fs, "/EFI/debian", 100, EISDIR);
    expect_failure(o.fs, "/EFI/debian/*.cfg", 100, EINVAL);
    assert_true(filesystem_exists(o.fs, "/EFI/debian/"));
    assert_true(filesystem_exists(o.fs, "/EFI/debian/grub.cfg"));
    assert_false(filesystem_exists(o.fs, "/EFI/fedora"));
    char **names = NULL;
    assert_ok(filesystem_list(o.fs, "/EFI/debian", &names, &err));
    assert_string_equal(names[0], "a long name.efi");
    assert_string_equal(names[1], "grub.cfg");
    assert_null(names[2]);
    strv_free(names);
    assert_ok(filesystem_list(o.fs, "/", &names, &err));
    assert_string_equal(names[0], "EFI");
    assert_null(names[1]);
    strv_free(names);
    assert_ok(filesystem_list(o.fs, "/EFI/Empty/", &names, &err));
    assert_null(names[0]);
    strv_free(names);
    assert_int_equal(filesystem_list(o.fs, "/EFI/debian/grub.cfg", &names, &err), -ENOTDIR);
    assert_int_equal(filesystem_list(o.fs, "/nowhere", &names, &err), -ENOENT);
    uint8_t uuid[16];
    assert_int_equal(filesystem_uuid(o.fs, uuid), -ENODATA);
    assert_int_equal(filesystem_used(o.fs, copy_used, NULL, &err), -EOPNOTSUPP);
    close_fs(&o);
}

static void write_fat(const char *path)
{
    struct error err = {0};
    _free_ uint8_t *big = calloc(1, 4 * BIG_SIZE);
    fill_random(big, 4 * BIG_SIZE, 11);
    struct opened o = open_fs(path, true);
    assert_ok(filesystem_write_file(o.fs, "/EFI/debian/grub.cfg", BYTES("new\n", 4), MTIME, &err));
    assert_ok(
        filesystem_write_file(o.fs, "/EFI/initrd.img", BYTES(big, 4 * BIG_SIZE), MTIME, &err));
    assert_ok(filesystem_write_file(o.fs, "/EFI/debian/a long name.efi", BYTES_NONE, 0, &err));
    assert_int_equal(filesystem_write_file(o.fs, "/no/x", BYTES("x", 1), 1, &err), -EIO);
    assert_int_equal(filesystem_write_file(o.fs, "/EFI", BYTES("x", 1), 1, &err), -EISDIR);
    _free_ uint8_t *huge = calloc(48, MIB);
    int r = filesystem_write_file(o.fs, "/x", BYTES(huge, 48 * MIB), 1, &err);
    assert_int_equal(r, -ENOSPC);
    assert_non_null(strstr(err.text, "needs 50"));
    close_fs(&o);
    o = open_fs(path, false);
    expect_file(o.fs, "/EFI/initrd.img", big, 4 * BIG_SIZE);
    expect_file(o.fs, "/EFI/debian/grub.cfg", "new\n", 4);
    expect_file(o.fs, "/EFI/debian/a long name.efi", "", 0);
    assert_false(filesystem_exists(o.fs, "/x"));
    close_fs(&o);
}

static void fat_is_written(void **state)
{
    make_fat("v1.img", 40 * MIB);
    run("cp", "v1.img", "v2.img");
    write_fat("v1.img");
    run("fsck.vfat", "-n", "v1.img");
    usleep(2100000); /* FAT counts in two seconds */
    write_fat("v2.img");
    run("cmp", "v1.img", "v2.img");
}

static int setup(void **state)
{
    if (scratch_setup(state) < 0)
        return -1;
    make_tree();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ext_is_read),
        cmocka_unit_test(ext_is_written),
        cmocka_unit_test(a_full_ext_says_so),
        cmocka_unit_test(dirty_ext_is_refused),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(probe_knows_them),
        cmocka_unit_test(used_is_all_that_matters),
        cmocka_unit_test(an_unreadable_bitmap_is_an_error),
        cmocka_unit_test(spoiled_ext_does_not_crash),
        cmocka_unit_test(fat_is_read),
        cmocka_unit_test(fat_is_written),
    };
    return cmocka_run_group_tests_name("filesystem", tests, setup, scratch_teardown);
}
