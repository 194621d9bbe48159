/* A filesystem on its way into an encrypted volume, and back by cryptsetup. */
#include "scratch.h"
#include "crypto/volume_key.h"
#include "disk/encrypt.h"
#include "disk/luks.h"

#define MIB ((uint64_t)1 << 20)
#define SIZE (40 * MIB)

static const uint8_t uuid[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef,
                                 0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
static struct secret *secret, *key;

static int setup(void **state)
{
    if (scratch_setup(state) < 0)
        return -1;
    secret = secret_new(VOLUME_SECRET_SIZE);
    fill_random(secret_data(secret), VOLUME_SECRET_SIZE, 42);
    if (volume_key_derive(&key, secret, uuid, NULL) < 0)
        return -1;
    write_at("secret", secret_data(secret), VOLUME_SECRET_SIZE, 0);
    run("mkdir", "tree");
    make_random("tree/a", 9 * MIB + 123, 1);
    make_random("tree/b", 3 * MIB, 2);
    make_sparse("tree/zeros", 70000);
    make_sparse("plain.img", SIZE);
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", "tree", "plain.img");
    run("debugfs", "-w", "-R", "rm /b", "plain.img"); /* stale data in free blocks */
    return 0;
}

static int teardown(void **state)
{
    secret_free(secret);
    secret_free(key);
    return scratch_teardown(state);
}

struct volume {
    struct blockdev *from, *to, *window;
    struct filesystem *fs;
    int fd;
};

static struct volume open_volume(const char *to, enum image_format format)
{
    struct error err = {0};
    struct volume v = {.fd = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    assert_true(v.fd >= 0);
    assert_ok(blockdev_open(&v.from, "plain.img", NULL, &err));
    assert_ok(filesystem_open(&v.fs, v.from, false, &err));
    assert_ok(blockdev_create(&v.to, v.fd, to, format, LUKS_DATA_OFFSET + SIZE, &err));
    assert_ok(blockdev_window(&v.window, v.to, LUKS_DATA_OFFSET, SIZE, &err));
    return v;
}

static void close_volume(struct volume *v)
{
    struct error err = {0};
    assert_ok(blockdev_flush(v->to, &err));
    filesystem_abort(v->fs);
    blockdev_close(v->window);
    blockdev_close(v->to);
    blockdev_close(v->from);
    close(v->fd);
}

static void encrypt_to(const char *to, enum image_format format, uint32_t sector_size, bool full,
                       struct encrypt_stats *stats)
{
    struct error err = {0};
    struct volume v = open_volume(to, format);
    const struct encrypt_options o = {.key = key, .sector_size = sector_size, .full = full};
    assert_ok(luks_format(v.to, uuid, sector_size, key, secret, &err));
    assert_ok(encrypt_volume(v.from, full ? NULL : v.fs, v.window, SIZE, &o, NULL, stats, &err));
    assert_int_equal(stats->encrypted + stats->skipped, SIZE);
    close_volume(&v);
}

/* cryptsetup itself turns it back, without device-mapper. */
static void decrypt(const char *path)
{
    run("cryptsetup", "open", "--test-passphrase", "--key-file", "secret", path);
    remove("header");
    run("cryptsetup", "reencrypt", "--decrypt", "--force-offline-reencrypt", "-q", "--header",
        "header", "--key-file", "secret", path);
}

static void expect_same_files(const char *path)
{
    run("e2fsck", "-f", "-n", path);
    char script[256];
    snprintf(script, sizeof(script),
             "rm -rf x y; mkdir x y; debugfs -R 'rdump / x' plain.img; debugfs -R 'rdump / y' %s",
             path);
    run("sh", "-c", script);
    run("diff", "-r", "x", "y");
    run("cmp", "tree/a", "y/a");
}

static void cryptsetup_reads_it(void **state)
{
    static const uint32_t sector_sizes[] = {512, 4096};
    for (size_t i = 0; i < 2; i++) {
        struct encrypt_stats stats;
        encrypt_to("out.img", IMAGE_RAW, sector_sizes[i], false, &stats);
        assert_true(stats.skipped > SIZE / 2);
        decrypt("out.img");
        expect_same_files("out.img");
    }
}

static void full_means_every_byte(void **state)
{
    struct encrypt_stats stats;
    encrypt_to("full.img", IMAGE_RAW, 4096, true, &stats);
    assert_int_equal(stats.encrypted, SIZE);
    struct stat st;
    assert_int_equal(stat("full.img", &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 >= SIZE); /* no holes that tell what is free */
    decrypt("full.img");
    assert_int_equal(truncate("full.img", (off_t)SIZE), 0); /* decryption may leave a tail */
    run("cmp", "plain.img", "full.img");
}

static void qcow2_holds_the_same(void **state)
{
    struct encrypt_stats stats;
    encrypt_to("out.qcow2", IMAGE_QCOW2, 4096, false, &stats);
    run("qemu-img", "check", "-q", "out.qcow2");
    assert_true(file_size("out.qcow2") < stats.encrypted + 18 * MIB);
    run("qemu-img", "convert", "-O", "raw", "out.qcow2", "back.img");
    decrypt("back.img");
    expect_same_files("back.img");
}

static void the_same_key_gives_the_same_bytes(void **state)
{
    struct encrypt_stats stats;
    encrypt_to("one.img", IMAGE_RAW, 4096, false, &stats);
    encrypt_to("two.img", IMAGE_RAW, 4096, false, &stats);
    /* The header holds random salts; the data are a function of key and plaintext. */
    run("cmp", "--ignore-initial=16777216", "one.img", "two.img");
}

/* ---- no plaintext ---- */
static int by_content(const void *a, const void *b)
{
    return memcmp(*(const uint8_t *const *)a, *(const uint8_t *const *)b, 4096);
}

static void no_block_of_plaintext_is_left(void **state)
{
    struct error err = {0};
    struct encrypt_stats stats;
    encrypt_to("np.img", IMAGE_RAW, 4096, false, &stats);
    _buffer_ struct buffer plain = {0}, out = {0};
    assert_ok(read_file("plain.img", 100 * MIB, &plain, &err));
    assert_ok(read_file("np.img", 100 * MIB, &out, &err));
    size_t n = out.size / 4096, known = 0;
    _free_ const uint8_t **sorted = calloc(n, sizeof(*sorted));
    assert_non_null(sorted);
    for (size_t i = 0; i < n; i++)
        if (!bytes_are_zero(out.data + i * 4096, 4096))
            sorted[known++] = out.data + i * 4096;
    qsort(sorted, known, sizeof(*sorted), by_content);
    size_t looked = 0;
    for (size_t at = 0; at + 4096 <= plain.size; at += 4096) {
        const uint8_t *block = plain.data + at;
        if (bytes_are_zero(block, 4096))
            continue;
        looked++;
        if (bsearch(&block, sorted, known, sizeof(*sorted), by_content))
            fail_msg("the block at %zu is in the output", at);
    }
    assert_true(looked > 3000 && known > 2000);
    /* It would be found if it were there. */
    const uint8_t *cipher = out.data + LUKS_DATA_OFFSET;
    assert_non_null(bsearch(&cipher, sorted, known, sizeof(*sorted), by_content));
}

/* ---- errors ---- */
struct faulty {
    struct blockdev d;
    uint64_t bad;
    _Atomic int calls;
};
static int faulty_read(struct blockdev *d, void *p, size_t n, uint64_t at, struct error *err)
{
    struct faulty *f = (struct faulty *)d;
    f->calls++;
    memset(p, 1, n);
    return f->bad >= at && f->bad < at + n ? error_set(err, EIO, "faulty: bad byte") : 0;
}
static int faulty_write(struct blockdev *d, const void *p, size_t n, uint64_t at, struct error *err)
{
    return faulty_read(d, (uint8_t[4 << 20]){0}, n, at, err);
}
static const struct blockdev_ops faulty_ops = {.read = faulty_read, .write = faulty_write};

static void one_failure_stops_all(void **state)
{
    struct error err = {0};
    struct faulty from = {.d = {&faulty_ops, 4096 * MIB, (char *)"from"}, .bad = 20 * MIB};
    struct faulty to = {.d = {&faulty_ops, 4096 * MIB, (char *)"to"}, .bad = UINT64_MAX};
    struct encrypt_options o = {.key = key, .sector_size = 4096, .full = true, .threads = 3};
    struct encrypt_stats stats = {.encrypted = 4711};
    int r = encrypt_volume(&from.d, NULL, &to.d, 4096 * MIB, &o, NULL, &stats, &err);
    assert_int_equal(r, -EIO);
    assert_non_null(strstr(err.text, "bad byte"));
    assert_int_equal(stats.encrypted, 4711);
    assert_true(from.calls < 200); /* of some 2000 */
    from.bad = UINT64_MAX;
    to.bad = 20 * MIB;
    assert_int_equal(encrypt_volume(&from.d, NULL, &to.d, 4096 * MIB, &o, NULL, &stats, &err),
                     -EIO);
    o.sector_size = 1024;
    assert_int_equal(encrypt_volume(&from.d, NULL, &to.d, 4096 * MIB, &o, NULL, &stats, &err),
                     -EINVAL);
    o.sector_size = 4096;
    assert_int_equal(encrypt_volume(&from.d, NULL, &to.d, MIB + 512, &o, NULL, &stats, &err),
                     -EINVAL);
    assert_int_equal(encrypt_volume(&from.d, NULL, &to.d, 4097 * MIB, &o, NULL, &stats, &err),
                     -EINVAL);
}

struct seen {
    uint64_t last, total;
    int calls, cancel_at;
};
static int see(void *arg, const char *phase, uint64_t done, uint64_t total)
{
    struct seen *s = arg;
    assert_true(done >= s->last && done <= total);
    s->last = done;
    s->total = total;
    return ++s->calls == s->cancel_at;
}

static void progress_is_told_and_may_cancel(void **state)
{
    struct error err = {0};
    struct volume v = open_volume("c.img", IMAGE_RAW);
    const struct encrypt_options o = {.key = key, .sector_size = 4096};
    struct encrypt_stats stats;
    struct seen seen = {0};
    struct progress p = {.report = see, .arg = &seen};
    assert_ok(encrypt_volume(v.from, v.fs, v.window, SIZE, &o, &p, &stats, &err));
    assert_true(seen.calls > 0 && seen.last == SIZE && seen.total == SIZE);
    close_volume(&v);
    struct faulty from = {.d = {&faulty_ops, 65536 * MIB, (char *)"from"}, .bad = UINT64_MAX};
    struct faulty to = {.d = {&faulty_ops, 65536 * MIB, (char *)"to"}, .bad = UINT64_MAX};
    seen = (struct seen){.cancel_at = 2};
    const struct encrypt_options full = {.key = key, .sector_size = 4096, .full = true};
    int r = encrypt_volume(&from.d, NULL, &to.d, 65536 * MIB, &full, &p, &stats, &err);
    assert_int_equal(r, -ECANCELED);
    assert_true(seen.last < 65536 * MIB);
}

/* ---- copies ---- */
static void copies_keep_holes(void **state)
{
    struct error err = {0};
    struct volume v = open_volume("copy.img", IMAGE_RAW);
    assert_ok(copy_range(v.from, v.to, 0, 3 * MIB, SIZE, NULL, &err));
    close_volume(&v);
    struct stat from, to;
    assert_int_equal(stat("plain.img", &from), 0);
    assert_int_equal(stat("copy.img", &to), 0);
    assert_true(to.st_blocks <= from.st_blocks + 2048);
    run("cmp", "--ignore-initial=0:3145728", "-n", "41943040", "plain.img", "copy.img");
}

static void odd_places_are_copied(void **state)
{
    struct error err = {0};
    make_random("odd.img", 3 * MIB, 8);
    _blockdev_ struct blockdev *from = NULL, *to = NULL;
    _close_ int fd = open("oddly.img", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_ok(blockdev_open(&from, "odd.img", NULL, &err));
    assert_ok(blockdev_create(&to, fd, "oddly.img", IMAGE_RAW, 4 * MIB, &err));
    assert_ok(copy_range(from, to, 1000, 77, 2 * MIB + 512, NULL, &err));
    run("cmp", "--ignore-initial=1000:77", "-n", "2097664", "odd.img", "oddly.img");
    uint8_t after[64];
    assert_ok(blockdev_read(to, after, sizeof(after), 77 + 2 * MIB + 512, &err));
    assert_true(bytes_are_zero(after, sizeof(after)));
}

static void headers_go_only_where_there_is_room(void **state)
{
    struct error err = {0};
    _close_ int fd = open("short.img", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_create(&d, fd, "short.img", IMAGE_RAW, LUKS_DATA_OFFSET, &err));
    assert_int_equal(luks_format(d, uuid, 4096, key, secret, &err), -ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cryptsetup_reads_it),
        cmocka_unit_test(full_means_every_byte),
        cmocka_unit_test(qcow2_holds_the_same),
        cmocka_unit_test(the_same_key_gives_the_same_bytes),
        cmocka_unit_test(no_block_of_plaintext_is_left),
        cmocka_unit_test(one_failure_stops_all),
        cmocka_unit_test(progress_is_told_and_may_cancel),
        cmocka_unit_test(copies_keep_holes),
        cmocka_unit_test(odd_places_are_copied),
        cmocka_unit_test(headers_go_only_where_there_is_room),
    };
    return cmocka_run_group_tests_name("volume", tests, setup, teardown);
}
