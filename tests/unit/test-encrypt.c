/* The encrypted volume, as cryptsetup sees it. */
#include "unit.h"
#include "base/io.h"
#include "base/spawn.h"
#include "crypto/volume_key.h"
#include "disk/encrypt.h"
#include "disk/luks.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#define DATA_SIZE ((uint64_t)5 << 20)

struct fixture {
    char folder[64];
    char plain[96], image[96], key[96], header[96];
    struct secret *secret, *volume_key;
};

static int run(const char *const argv[], struct error *e)
{
    int r = spawn_wait(argv, NULL, -1, BYTES_NONE, NULL, e);
    if (r != 0)
        print_message("%s\n", e->text);
    return r;
}

static void write_plain(const char *path)
{
    _close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint8_t chunk[4096];
    for (uint64_t at = 0; at < DATA_SIZE; at += sizeof(chunk)) {
        for (size_t i = 0; i < sizeof(chunk); i += 256)
            assert_int_equal(getrandom(chunk + i, 256, 0), 256);
        assert_int_equal(write_exact(fd, chunk, sizeof(chunk)), 0);
    }
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/encroot-test-XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    snprintf(f->plain, sizeof(f->plain), "%s/plain", f->folder);
    snprintf(f->image, sizeof(f->image), "%s/image", f->folder);
    snprintf(f->key, sizeof(f->key), "%s/key", f->folder);
    snprintf(f->header, sizeof(f->header), "%s/header", f->folder);
    struct error e = {0};
    static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 0x87, 8, 0x99, 10};
    f->secret = secret_random(VOLUME_SECRET_SIZE);
    if (!f->secret || secret_write_file(f->secret, f->key, &e) < 0 ||
        volume_key_derive(&f->volume_key, f->secret, uuid, &e) < 0)
        return -1;
    write_plain(f->plain);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    const char *const files[] = {f->plain, f->image, f->key, f->header};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        unlink(files[i]);
    rmdir(f->folder);
    secret_free(f->secret);
    secret_free(f->volume_key);
    free(f);
    return 0;
}

/* Make f->image from f->plain. */
static int encrypt_all(const struct fixture *f, uint32_t sector_size, const struct progress *p,
                       struct error *e)
{
    static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 0x87, 8, 0x99, 10};
    _blockdev_ struct blockdev *from = NULL;
    _blockdev_ struct blockdev *to = NULL;
    _blockdev_ struct blockdev *data = NULL;
    _close_ int fd = open(f->image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct encrypt_options o = {
        .key = f->volume_key, .sector_size = sector_size, .full = true, .threads = 3};
    struct encrypt_stats stats;
    int r = blockdev_open(&from, f->plain, &(enum image_format){0}, e);
    if (r == 0)
        r = blockdev_create(&to, fd, "image", IMAGE_RAW, LUKS_DATA_OFFSET + DATA_SIZE, e);
    if (r == 0)
        r = luks_format(to, uuid, sector_size, f->volume_key, f->secret, e);
    if (r == 0)
        r = blockdev_window(&data, to, LUKS_DATA_OFFSET, DATA_SIZE, e);
    if (r == 0)
        r = encrypt_volume(from, NULL, data, DATA_SIZE, &o, p, &stats, e);
    if (r == 0)
        assert_int_equal(stats.encrypted, DATA_SIZE);
    return r;
}

/* cryptsetup opens it with the key file, and its own offline decryption gives the plaintext. */
static void cryptsetup_agrees(const struct fixture *f, uint32_t sector_size)
{
    struct error e = {0};
    assert_int_equal(encrypt_all(f, sector_size, NULL, &e), 0);
    const char *const open_it[] = {"cryptsetup", "open",   "--test-passphrase",
                                   "--key-file", f->key,   "--type",
                                   "luks2",      f->image, NULL};
    assert_int_equal(run(open_it, &e), 0);
    const char *const decrypt[] = {
        "cryptsetup", "reencrypt", "--decrypt", "--batch-mode", "--force-offline-reencrypt",
        "--key-file", f->key,      "--header",  f->header,      f->image,
        NULL};
    assert_int_equal(run(decrypt, &e), 0);
    const char *const compare[] = {"cmp", "-n", "5242880", f->plain, f->image, NULL};
    assert_int_equal(run(compare, &e), 0);
    unlink(f->header);
}

static void cryptsetup_decrypts_4096_byte_sectors(void **state)
{
    cryptsetup_agrees(*state, 4096);
}

static void cryptsetup_decrypts_512_byte_sectors(void **state)
{
    cryptsetup_agrees(*state, 512);
}

static void another_key_does_not_open_it(void **state)
{
    const struct fixture *f = *state;
    struct error e = {0};
    assert_int_equal(encrypt_all(f, 4096, NULL, &e), 0);
    const char *const open_it[] = {"cryptsetup", "open",   "--test-passphrase",
                                   "--key-file", f->plain, "--keyfile-size",
                                   "32",         f->image, NULL};
    assert_int_equal(spawn_wait(open_it, NULL, -1, BYTES_NONE, NULL, &e), 2);
}

static int cancel(void *arg, const char *phase, uint64_t done, uint64_t total)
{
    (void)arg, (void)phase, (void)done, (void)total;
    return 1;
}

static void progress_can_cancel(void **state)
{
    const struct fixture *f = *state;
    struct error e = {0};
    const struct progress p = {.report = cancel};
    assert_int_equal(encrypt_all(f, 4096, &p, &e), -ECANCELED);
}

static void wrong_sizes_are_refused(void **state)
{
    const struct fixture *f = *state;
    struct error e = {0};
    _blockdev_ struct blockdev *d = NULL;
    assert_int_equal(blockdev_open(&d, f->plain, &(enum image_format){0}, &e), 0);
    struct encrypt_options o = {.key = f->volume_key, .sector_size = 4096, .full = true};
    struct encrypt_stats s;
    assert_int_equal(encrypt_volume(d, NULL, d, DATA_SIZE + 4096, &o, NULL, &s, &e), -EINVAL);
    assert_int_equal(encrypt_volume(d, NULL, d, DATA_SIZE - 512, &o, NULL, &s, &e), -EINVAL);
    o.sector_size = 1024;
    assert_int_equal(encrypt_volume(d, NULL, d, DATA_SIZE, &o, NULL, &s, &e), -EINVAL);
    o = (struct encrypt_options){.key = f->secret, .sector_size = 4096, .full = true};
    assert_int_equal(encrypt_volume(d, NULL, d, DATA_SIZE, &o, NULL, &s, &e), -EINVAL);
}

static void copies_keep_holes(void **state)
{
    const struct fixture *f = *state;
    struct error e = {0};
    _blockdev_ struct blockdev *from = NULL;
    _blockdev_ struct blockdev *to = NULL;
    /* a file with one block in the middle of 64 MiB, and a short tail */
    const uint64_t size = ((uint64_t)64 << 20) + 512, middle = ((uint64_t)31 << 20) + 4096;
    {
        _close_ int fd = open(f->header, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        assert_int_equal(pwrite_exact(fd, "middle", 6, (off_t)middle), 0);
        assert_int_equal(pwrite_exact(fd, "tail", 4, (off_t)size - 4), 0);
    }
    _close_ int fd = open(f->image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(blockdev_open(&from, f->header, &(enum image_format){0}, &e), 0);
    assert_int_equal(blockdev_create(&to, fd, "image", IMAGE_RAW, size, &e), 0);
    assert_int_equal(copy_range(from, to, 0, 0, size, NULL, &e), 0);
    const char *const compare[] = {"cmp", f->header, f->image, NULL};
    assert_int_equal(run(compare, &e), 0);
    struct stat st;
    assert_int_equal(stat(f->image, &st), 0);
    assert_true(st.st_blocks * 512 < (1 << 20));
    unlink(f->header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cryptsetup_decrypts_4096_byte_sectors),
        cmocka_unit_test(cryptsetup_decrypts_512_byte_sectors),
        cmocka_unit_test(another_key_does_not_open_it),
        cmocka_unit_test(progress_can_cancel),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(copies_keep_holes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
