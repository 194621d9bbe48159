#include "scratch.h"
#include "disk/blockdev.h"
#include "disk/qcow2.h"

#include <dirent.h>
#include <pthread.h>

#define MIB ((uint64_t)1 << 20)

/* 8 MiB: random from 1 to 3 MiB and a little at the end, else holes. */
static void make_source(const char *path)
{
    make_sparse(path, 8 * MIB);
    _free_ uint8_t *p = malloc(2 * MIB);
    assert_non_null(p);
    fill_random(p, 2 * MIB, 7);
    write_at(path, p, 2 * MIB, MIB);
    write_at(path, p, 4096, 8 * MIB - 4096);
}

static void expect_same(struct blockdev *d, const char *path)
{
    struct error err = {0};
    _buffer_ struct buffer want = {0};
    assert_ok(read_file(path, 64 * MIB, &want, &err));
    assert_int_equal(d->size, want.size);
    _free_ uint8_t *got = malloc(want.size);
    assert_non_null(got);
    assert_ok(blockdev_read(d, got, want.size, 0, &err));
    assert_memory_equal(got, want.data, want.size);
    memset(got, 0, 1000); /* odd places and lengths */
    assert_ok(blockdev_read(d, got, 777, MIB + 12345, &err));
    assert_memory_equal(got, want.data + MIB + 12345, 777);
}

struct sum {
    uint64_t next, holes, data;
};
static int add_up(void *arg, uint64_t at, uint64_t length, bool hole)
{
    struct sum *s = arg;
    assert_int_equal(at, s->next);
    assert_true(length > 0);
    s->next += length;
    *(hole ? &s->holes : &s->data) += length;
    return 0;
}

static void open_and_compare(const char *path, enum image_format expected)
{
    struct error err = {0};
    _blockdev_ struct blockdev *d = NULL;
    enum image_format format;
    assert_ok(blockdev_open(&d, path, &format, &err));
    assert_int_equal(format, expected);
    expect_same(d, "source.raw");
    struct sum sum = {0};
    assert_ok(blockdev_extents(d, 0, d->size, add_up, &sum, &err));
    assert_int_equal(sum.next, 8 * MIB);
    assert_true(sum.holes >= 5 * MIB && sum.data >= 2 * MIB + 4096);
    sum = (struct sum){.next = MIB + 4096};
    assert_ok(blockdev_extents(d, MIB + 4096, MIB, add_up, &sum, &err));
    assert_int_equal(sum.data, MIB);
    uint8_t byte = 0;
    assert_int_equal(blockdev_write(d, &byte, 1, 0, &err), -EROFS);
    assert_int_equal(blockdev_read(d, &byte, 1, 8 * MIB, &err), -EINVAL);
    assert_int_equal(blockdev_read(d, &byte, 1, UINT64_MAX, &err), -EINVAL);
}

static void raw_is_the_file(void **state)
{
    open_and_compare("source.raw", IMAGE_RAW);
}

static void qcow2_is_its_content(void **state)
{
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "source.raw", "plain.qcow2");
    open_and_compare("plain.qcow2", IMAGE_QCOW2);
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "source.raw", "small.img");
    open_and_compare("small.img", IMAGE_QCOW2); /* the name says nothing */
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o",
        "extended_l2=on,cluster_size=128k,compression_type=zstd", "-c", "source.raw", "zstd.qcow2");
    open_and_compare("zstd.qcow2", IMAGE_QCOW2);
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "compat=0.10,cluster_size=512",
        "source.raw", "old.qcow2");
    open_and_compare("old.qcow2", IMAGE_QCOW2);
}

/* With zeros written over data, and a last cluster cut short. */
static void plain_qcow2_is_read_as_qemu_does(void **state)
{
    struct error err = {0};
    run("qemu-img", "create", "-q", "-f", "qcow2", "m.qcow2", "8389120");
    run("qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 3M", "-c", "write -z 2M 300k", "-c",
        "write -P 9 8388608 512", "-c", "discard 1M 64k", "m.qcow2");
    run("qemu-img", "convert", "-O", "raw", "m.qcow2", "m.raw");
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_open(&d, "m.qcow2", NULL, &err));
    _buffer_ struct buffer want = {0};
    assert_ok(read_file("m.raw", 64 * MIB, &want, &err));
    assert_int_equal(d->size, want.size);
    _free_ uint8_t *got = malloc(want.size);
    assert_ok(blockdev_read(d, got, want.size, 0, &err));
    assert_memory_equal(got, want.data, want.size);
    assert_true(got[8388608] == 9 && got[3 * MIB] == 7 && got[2 * MIB] == 0);
}

static void an_image_in_use_is_refused(void **state)
{
    struct error err = {0};
    run("cp", "source.raw", "busy.raw");
    run("qemu-img", "create", "-q", "-f", "qcow2", "busy.qcow2", "8M");
    static const char *const files[] = {"busy.raw", "busy.qcow2"};
    for (size_t i = 0; i < 2; i++) {
        _close_ int fd = open(files[i], O_RDWR | O_CLOEXEC); /* as qemu locks it */
        struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 101, .l_len = 1};
        assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
        struct blockdev *d = NULL;
        assert_int_equal(blockdev_open(&d, files[i], NULL, &err), -EBUSY);
        assert_non_null(strstr(err.text, "in use"));
    }
}

struct reader_thread {
    struct blockdev *d;
    const struct buffer *want;
    uint64_t at;
    int result;
};
static void *read_in_thread(void *arg)
{
    struct reader_thread *t = arg;
    static _Thread_local uint8_t got[65536];
    for (int i = 0; i < 100 && t->result == 0; i++) {
        uint64_t at = (t->at + (uint64_t)i * 77777) % (8 * MIB - sizeof(got));
        t->result = blockdev_read(t->d, got, sizeof(got), at, NULL);
        if (t->result == 0 && memcmp(got, t->want->data + at, sizeof(got)) != 0)
            t->result = -EBADMSG;
    }
    return NULL;
}

static void threads_may_read_at_once(void **state)
{
    struct error err = {0};
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "source.raw", "t.qcow2");
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_open(&d, "t.qcow2", NULL, &err));
    _buffer_ struct buffer want = {0};
    assert_ok(read_file("source.raw", 64 * MIB, &want, &err));
    struct reader_thread threads[6];
    pthread_t ids[6];
    for (size_t i = 0; i < 6; i++) {
        threads[i] = (struct reader_thread){.d = d, .want = &want, .at = i * MIB};
        assert_int_equal(pthread_create(&ids[i], NULL, read_in_thread, &threads[i]), 0);
    }
    for (size_t i = 0; i < 6; i++) {
        pthread_join(ids[i], NULL);
        assert_int_equal(threads[i].result, 0);
    }
}

static void create_and_fill(enum image_format format, const char *path)
{
    struct error err = {0};
    _close_ int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); /* has no name */
    assert_true(fd >= 0);
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_create(&d, fd, path, format, 8 * MIB, &err));
    assert_int_equal(d->size, 8 * MIB);
    _buffer_ struct buffer source = {0};
    assert_ok(read_file("source.raw", 64 * MIB, &source, &err));
    assert_ok(blockdev_write(d, source.data + MIB, 2 * MIB, MIB, &err));
    assert_ok(blockdev_write(d, source.data + 8 * MIB - 4096, 4096, 8 * MIB - 4096, &err));
    expect_same(d, "source.raw");
    assert_ok(blockdev_flush(d, &err));
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    assert_int_equal(linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW), 0);
}

static void a_new_image_holds_what_was_written(void **state)
{
    create_and_fill(IMAGE_RAW, "new.raw");
    run("cmp", "source.raw", "new.raw");
    create_and_fill(IMAGE_QCOW2, "new.qcow2");
    run("qemu-img", "check", "-q", "new.qcow2");
    run("qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", "source.raw", "new.qcow2");
    assert_true(file_size("new.qcow2") < 4 * MIB); /* holes are not stored */
}

struct pair {
    struct blockdev *raw, *qcow2;
    int raw_fd, qcow2_fd;
};

static struct pair create_pair(uint64_t size)
{
    struct error err = {0};
    const int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
    struct pair p = {.raw_fd = open("p.raw", flags, 0600),
                     .qcow2_fd = open("p.qcow2", flags, 0600)};
    assert_ok(blockdev_create(&p.raw, p.raw_fd, "p.raw", IMAGE_RAW, size, &err));
    assert_ok(blockdev_create(&p.qcow2, p.qcow2_fd, "p.qcow2", IMAGE_QCOW2, size, &err));
    return p;
}

static void write_both(const struct pair *p, const void *data, size_t n, uint64_t at)
{
    struct error err = {0};
    assert_ok(blockdev_write(p->raw, data, n, at, &err));
    assert_ok(blockdev_write(p->qcow2, data, n, at, &err));
}

/* qemu finds the file sound, and of the same content as the raw one. */
static void flush_and_compare(const struct pair *p)
{
    struct error err = {0};
    assert_ok(blockdev_flush(p->qcow2, &err));
    run("qemu-img", "check", "-q", "-f", "qcow2", "p.qcow2");
    run("qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", "p.raw", "p.qcow2");
}

static void close_pair(struct pair *p)
{
    blockdev_close(p->raw);
    blockdev_close(p->qcow2);
    close(p->raw_fd);
    close(p->qcow2_fd);
}

static void new_qcow2_takes_writes_anywhere(void **state)
{
    struct error err = {0};
    const uint64_t size = 1200 * MIB + 512; /* three L2 tables, and a last cluster cut short */
    struct pair p = create_pair(size);
    flush_and_compare(&p); /* empty */
    _free_ uint8_t *data = malloc(MIB), *back = malloc(MIB);
    write_both(&p, "start", 5, 65536); /* the rest of its cluster can be read at once */
    assert_ok(blockdev_read(p.qcow2, data, 65536, 65536, &err));
    assert_true(memcmp(data, "start", 5) == 0 && bytes_are_zero(data + 5, 65531));
    uint64_t places[60];
    for (size_t i = 0; i < 60; i++) {
        fill_random((uint8_t *)&places[i], 8, i + 1);
        size_t n = places[i] % (i % 3 ? MIB : 5000) + 1;
        places[i] %= i % 7 ? size - n : MIB; /* some overlap */
        fill_random(data, n, i);
        write_both(&p, data, n, places[i]);
        if (i % 20 == 19)
            flush_and_compare(&p); /* writing goes on behind the tables that were there */
    }
    write_both(&p, data, 512, size - 512);
    for (size_t i = 0; i < 60; i++) {
        uint64_t at = places[i] > 70000 ? places[i] - 70000 : 0;
        size_t n = size - at < MIB ? (size_t)(size - at) : MIB;
        assert_ok(blockdev_read(p.raw, data, n, at, &err));
        assert_ok(blockdev_read(p.qcow2, back, n, at, &err));
        assert_memory_equal(data, back, n);
    }
    struct sum sum = {0};
    assert_ok(blockdev_extents(p.qcow2, 0, size, add_up, &sum, &err));
    assert_true(sum.next == size && sum.holes > 1000 * MIB && sum.data > 10 * MIB);
    flush_and_compare(&p);
    close_pair(&p);
    /* Nobody takes what was not finished for an image. */
    p = create_pair(8 * MIB);
    write_both(&p, "x", 1, 0);
    flush_and_compare(&p);
    write_both(&p, "y", 1, 5 * MIB);
    close_pair(&p);
    run_expecting(1, (const char *const[]){"qemu-img", "check", "-f", "qcow2", "p.qcow2", NULL},
                  BYTES_NONE, NULL);
}

static void large_new_qcow2_counts_its_clusters(void **state)
{
    /* One byte in each of 40000 clusters: refcounts in two blocks, in a file of 2.5 GiB. */
    struct pair p = create_pair(5000 * MIB);
    for (uint64_t i = 0; i < 40000; i++)
        write_both(&p, "z", 1, i * 131072 + 77);
    flush_and_compare(&p);
    close_pair(&p);
    remove("p.raw");
    remove("p.qcow2");
}

struct writer_thread {
    const struct pair *p;
    unsigned number;
};
static void *write_in_thread(void *arg)
{
    const struct writer_thread *t = arg;
    uint8_t data[3000];
    memset(data, (int)t->number + 1, sizeof(data));
    for (uint64_t at = t->number * 3000; at + 3000 <= 8 * MIB; at += 12000) /* clusters shared */
        if (blockdev_write(t->p->raw, data, 3000, at, NULL) < 0 ||
            blockdev_write(t->p->qcow2, data, 3000, at, NULL) < 0)
            return arg;
    return NULL;
}

static void threads_may_write_at_once(void **state)
{
    struct pair p = create_pair(8 * MIB);
    struct writer_thread threads[4];
    pthread_t ids[4];
    for (unsigned i = 0; i < 4; i++) {
        threads[i] = (struct writer_thread){.p = &p, .number = i};
        assert_int_equal(pthread_create(&ids[i], NULL, write_in_thread, &threads[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *failed = NULL;
        pthread_join(ids[i], &failed);
        assert_null(failed);
    }
    flush_and_compare(&p);
    close_pair(&p);
}

static void expect_refusal(const char *path, int code, const char *text)
{
    struct error err = {0};
    struct blockdev *d = NULL;
    int r = blockdev_open(&d, path, NULL, &err);
    if (r != -code || !strstr(err.text, text) || !strstr(err.text, path))
        fail_msg("%s: expected %d and '%s', found %d: %s", path, -code, text, r, err.text);
    assert_null(d);
}

static void other_formats_are_named(void **state)
{
    run("qemu-img", "create", "-q", "-f", "vmdk", "a.vmdk", "8M");
    expect_refusal("a.vmdk", EMEDIUMTYPE, "VMDK");
    run("qemu-img", "create", "-q", "-f", "vhdx", "a.vhdx", "8M");
    expect_refusal("a.vhdx", EMEDIUMTYPE, "VHDX");
    run("qemu-img", "create", "-q", "-f", "vdi", "a.vdi", "8M");
    expect_refusal("a.vdi", EMEDIUMTYPE, "VDI");
    run("qemu-img", "create", "-q", "-f", "vpc", "-o", "subformat=fixed", "a.vhd", "8M");
    expect_refusal("a.vhd", EMEDIUMTYPE, "VHD");
    run("qemu-img", "create", "-q", "-f", "vpc", "a2.vhd", "8M");
    expect_refusal("a2.vhd", EMEDIUMTYPE, "VHD");
    make_sparse("tiny", 100);
    expect_refusal("tiny", EMEDIUMTYPE, "not a disk image");
    expect_refusal("absent", ENOENT, "No such file");
    expect_refusal("/tmp", EINVAL, "folder");
    assert_int_equal(mkfifo("fifo", 0600), 0);
    expect_refusal("fifo", EINVAL, "no regular file");
}

static void paths_in_a_header_are_not_followed(void **state)
{
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "source.raw", "-F", "raw", "b.qcow2");
    expect_refusal("b.qcow2", EMEDIUMTYPE, "backing file");
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=d.raw", "d.qcow2", "8M");
    expect_refusal("d.qcow2", EMEDIUMTYPE, "another file");
    run("qemu-img", "create", "-q", "-f", "qcow2", "e.qcow2", "8M");
    write_at("e.qcow2", "\0\0\0\2", 4, 32); /* crypt_method: LUKS */
    expect_refusal("e.qcow2", EMEDIUMTYPE, "encrypted");
}

/* qemu itself reads what is missing as zeros. */
static void truncation_is_seen(void **state)
{
    static const char *const kinds[][2] = {{"-p", "cut.qcow2"}, {"-c", "cutc.qcow2"}};
    for (size_t k = 0; k < 2; k++) {
        const char *path = kinds[k][1];
        run("qemu-img", "convert", kinds[k][0], "-f", "raw", "-O", "qcow2", "source.raw", path);
        open_and_compare(path, IMAGE_QCOW2);
        for (uint64_t size = file_size(path) - 600; size > 600; size /= 3) {
            assert_int_equal(truncate(path, (off_t)size), 0);
            expect_refusal(path, ENODATA, "truncated");
        }
    }
}

/* Each byte of the header, spoiled: an error or an image, but no crash and no hang. */
static void spoiled_headers_are_errors(void **state)
{
    run("qemu-img", "create", "-q", "-f", "qcow2", "h.qcow2", "8M");
    _buffer_ struct buffer file = {0};
    struct error err = {0};
    assert_ok(read_file("h.qcow2", 8 * MIB, &file, &err));
    struct qcow2_header h;
    assert_ok(qcow2_header_parse(&h, BYTES(file.data, QCOW2_HEADER_SIZE), &err));
    assert_int_equal(h.size, 8 * MIB);
    int refused = 0;
    for (size_t i = 0; i < QCOW2_HEADER_SIZE; i++) {
        uint8_t was = file.data[i];
        file.data[i] ^= 0xff;
        struct qcow2_header untouched = {.version = 99};
        int r = qcow2_header_parse(&untouched, BYTES(file.data, QCOW2_HEADER_SIZE), &err);
        assert_true(r == 0 || untouched.version == 99);
        refused += r < 0;
        file.data[i] = was;
    }
    assert_true(refused >= 4 + 4 + 12 + 4 + 4 + 8); /* magic to crypt_method, features */
    for (size_t n = 0; n < 72; n++)
        assert_int_equal(qcow2_header_parse(&h, BYTES(file.data, n), &err), -EBADMSG);
}

static void a_broken_image_is_qemus_error(void **state)
{
    /* A cluster that claims to be compressed and is not: only reading finds out. */
    struct error err = {0};
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "source.raw", "x.qcow2");
    _free_ uint8_t *junk = malloc(256 * 1024);
    assert_non_null(junk);
    run("qemu-img", "create", "-q", "-f", "raw", "z.raw", "8M");
    run("sh", "-c", "yes 'compressible text' | head -c 8388608 > z.raw");
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "z.raw", "z.qcow2");
    memset(junk, 0xff, 256 * 1024);
    uint64_t size = file_size("z.qcow2");
    uint64_t from = 5 * 65536; /* behind the tables */
    assert_true(size > from);
    write_at("z.qcow2", junk, size - from < 256 * 1024 ? size - from : 256 * 1024, from);
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_open(&d, "z.qcow2", NULL, &err));
    int r = 0;
    for (uint64_t at = 0; at < d->size && r == 0; at += 65536)
        r = blockdev_read(d, junk, 65536, at, &err);
    assert_int_equal(r, -EIO);
    assert_non_null(strstr(err.text, "z.qcow2: reading at "));
}

static void a_window_is_a_part(void **state)
{
    struct error err = {0};
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_open(&d, "source.raw", NULL, &err));
    _blockdev_ struct blockdev *w = NULL;
    assert_ok(blockdev_window(&w, d, MIB, 3 * MIB, &err));
    uint8_t a[512], b[512];
    assert_ok(blockdev_read(w, a, sizeof(a), 100, &err));
    assert_ok(blockdev_read(d, b, sizeof(b), MIB + 100, &err));
    assert_memory_equal(a, b, sizeof(a));
    assert_int_equal(blockdev_read(w, a, 1, 3 * MIB, &err), -EINVAL);
    struct sum sum = {0};
    assert_ok(blockdev_extents(w, 0, 3 * MIB, add_up, &sum, &err));
    assert_int_equal(sum.data, 2 * MIB);
    assert_int_equal(sum.holes, MIB);
    struct blockdev *none = NULL;
    assert_int_equal(blockdev_window(&none, d, 6 * MIB, 3 * MIB, &err), -EINVAL);
    assert_int_equal(blockdev_window(&none, d, UINT64_MAX, 2, &err), -EINVAL);
}

static size_t left_behind(void)
{
    size_t n = 0;
    DIR *tmp = opendir(getenv("TMPDIR"));
    assert_non_null(tmp);
    for (struct dirent *e; (e = readdir(tmp));)
        n += e->d_name[0] != '.';
    closedir(tmp);
    return n;
}

static void nothing_is_left_behind(void **state)
{
    struct error err = {0};
    char tmp[128];
    snprintf(tmp, sizeof(tmp), "%s/tmp", scratch);
    assert_int_equal(mkdir(tmp, 0700), 0);
    setenv("TMPDIR", tmp, 1);
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "source.raw", "l.qcow2");
    _blockdev_ struct blockdev *d = NULL;
    assert_ok(blockdev_open(&d, "l.qcow2", NULL, &err));
    assert_int_equal(left_behind(), 0); /* not even while it is open */
    unsetenv("TMPDIR");
}

static int setup(void **state)
{
    if (scratch_setup(state) < 0)
        return -1;
    make_source("source.raw");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_is_the_file),
        cmocka_unit_test(qcow2_is_its_content),
        cmocka_unit_test(plain_qcow2_is_read_as_qemu_does),
        cmocka_unit_test(an_image_in_use_is_refused),
        cmocka_unit_test(threads_may_read_at_once),
        cmocka_unit_test(a_new_image_holds_what_was_written),
        cmocka_unit_test(new_qcow2_takes_writes_anywhere),
        cmocka_unit_test(large_new_qcow2_counts_its_clusters),
        cmocka_unit_test(threads_may_write_at_once),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(paths_in_a_header_are_not_followed),
        cmocka_unit_test(truncation_is_seen),
        cmocka_unit_test(spoiled_headers_are_errors),
        cmocka_unit_test(a_broken_image_is_qemus_error),
        cmocka_unit_test(a_window_is_a_part),
        cmocka_unit_test(nothing_is_left_behind),
    };
    return cmocka_run_group_tests_name("blockdev", tests, setup, scratch_teardown);
}
