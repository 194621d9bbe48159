/* A scratch folder for tests that work on real images, and the tools that make and check them. */
#ifndef ENCROOT_TESTS_SCRATCH_H
#define ENCROOT_TESTS_SCRATCH_H

#include "unit.h"
#include "base/io.h"
#include "base/spawn.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static char scratch[64];

static inline int scratch_remove_one(const char *path, const struct stat *st, int flag,
                                     struct FTW *ftw)
{
    return remove(path);
}

/* In memory where that is roomy: the tools that make filesystems wait for the disk a lot. */
static inline const char *scratch_base(void)
{
    struct statvfs st;
    bool roomy = statvfs("/dev/shm", &st) == 0 && st.f_bavail > (1u << 30) / st.f_frsize;
    return roomy && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

/* For cmocka's group setup and teardown: the working folder is the scratch folder in between. */
static inline int scratch_setup(void **state)
{
    snprintf(scratch, sizeof(scratch), "%s/encroot-test-XXXXXX", scratch_base());
    return mkdtemp(scratch) && chdir(scratch) == 0 ? 0 : -1;
}
static inline int scratch_teardown(void **state)
{
    return chdir("/") == 0 ? nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS) : -1;
}

/* Run a tool: run("mke2fs", "-q", "disk"). Fails the test unless it exits with `expected`. */
static inline void run_expecting(int expected, const char *const argv[], struct bytes in,
                                 struct buffer *out)
{
    struct error err = {0};
    int r = spawn_wait(argv, NULL, -1, in, out, &err);
    if (r != expected)
        fail_msg("%s: expected exit status %d, found %d: %s", argv[0], expected, r, err.text);
}
#define run(...) run_expecting(0, (const char *const[]){__VA_ARGS__, NULL}, BYTES_NONE, NULL)
#define run_input(in, ...) run_expecting(0, (const char *const[]){__VA_ARGS__, NULL}, in, NULL)
#define run_output(out, ...)                                                                       \
    run_expecting(0, (const char *const[]){__VA_ARGS__, NULL}, BYTES_NONE, out)

/* assert_int_equal(expr, 0), and the error text when it fails. `expr` uses a variable `err`. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        int ok_ = (expr);                                                                          \
        if (ok_ != 0)                                                                              \
            fail_msg("%s: %d: %s", #expr, ok_, err.text);                                          \
    } while (0)

/* A file of `n` bytes that look random and are the same for the same seed. */
static inline void fill_random(uint8_t *p, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        p[i] = (uint8_t)(seed >> 56);
    }
}
static inline void write_at(const char *path, const void *p, size_t n, uint64_t at)
{
    _close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite_exact(fd, p, n, (off_t)at), 0);
}
static inline void make_random(const char *path, size_t n, uint64_t seed)
{
    _free_ uint8_t *p = malloc(n);
    assert_non_null(p);
    fill_random(p, n, seed);
    write_at(path, p, n, 0);
}
static inline void make_sparse(const char *path, uint64_t size)
{
    _close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
}
static inline uint64_t file_size(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

#endif
