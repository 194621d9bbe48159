#include "base/io.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

int read_exact(int fd, void *p, size_t n)
{
    for (uint8_t *b = p; n > 0;) {
        ssize_t got = read(fd, b, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ENODATA;
        b += got;
        n -= (size_t)got;
    }
    return 0;
}

int write_exact(int fd, const void *p, size_t n)
{
    for (const uint8_t *b = p; n > 0;) {
        ssize_t put = write(fd, b, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        b += put;
        n -= (size_t)put;
    }
    return 0;
}

int pread_exact(int fd, void *p, size_t n, off_t at)
{
    for (uint8_t *b = p; n > 0;) {
        ssize_t got = pread(fd, b, n, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ENODATA;
        b += got;
        at += got;
        n -= (size_t)got;
    }
    return 0;
}

int pwrite_exact(int fd, const void *p, size_t n, off_t at)
{
    for (const uint8_t *b = p; n > 0;) {
        ssize_t put = pwrite(fd, b, n, at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        b += put;
        at += put;
        n -= (size_t)put;
    }
    return 0;
}

int read_fd(int fd, const char *name, size_t max, struct buffer *ret, struct error *err)
{
    /* One byte over the maximum tells "exactly max" from "too long"; one more allows a NUL. */
    _buffer_ struct buffer b = {.max = max + 2};
    for (;;) {
        size_t step = max + 1 - b.size < 65536 ? max + 1 - b.size : 65536;
        if (step == 0)
            return error_set(err, EFBIG, "%s: larger than the limit of %zu bytes", name, max);
        if (buffer_reserve(&b, step + 1) < 0)
            return error_set(err, ENOMEM, "%s: out of memory", name);
        ssize_t n = read(fd, b.data + b.size, step);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "%s", name);
        if (n == 0)
            break;
        b.size += (size_t)n;
    }
    b.data[b.size] = '\0'; /* not counted; lets callers treat text files as strings */
    b.max = 0;
    *ret = b;
    b = (struct buffer){0};
    return 0;
}

int read_file(const char *path, size_t max, struct buffer *ret, struct error *err)
{
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_errno(err, errno, "%s", path);
    return read_fd(fd, path, max, ret, err);
}

bool name_is_taken(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

int atomic_file_open(struct atomic_file *f, const char *path, mode_t mode, bool replace,
                     struct error *err)
{
    if (!replace && name_is_taken(path))
        return error_hint(err, error_set(err, EEXIST, "%s: already exists", path),
                          "remove it, choose another name, or say --force");
    _free_ char *final = strdup(path);
    _free_ char *copy = strdup(path);
    if (!final || !copy)
        return error_set(err, ENOMEM, "out of memory");
    const char *folder = dirname(copy);
    _close_ int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        return error_errno(err, errno, "%s: cannot create a file in %s", path, folder);
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    _free_ char *temporary = NULL;
    if (fd < 0 && errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return error_errno(err, errno, "%s: cannot create a file in %s", path, folder);
    if (fd < 0) {
        if (asprintf(&temporary, "%s.XXXXXX.part", path) < 0)
            return error_set(err, ENOMEM, "out of memory");
        fd = mkostemps(temporary, 5, O_CLOEXEC);
        if (fd < 0)
            return error_errno(err, errno, "%s", temporary);
        mode_t mask = umask(0);
        umask(mask);
        fchmod(fd, mode & ~mask);
    }
    *f = (struct atomic_file){.fd = fd,
                              .folder = TAKE_FD(folder_fd),
                              .path = TAKE_PTR(final),
                              .temporary = TAKE_PTR(temporary),
                              .replace = replace};
    return 0;
}

/* Give the nameless or temporary file the name `to`. */
static int name_file(const struct atomic_file *f, const char *to)
{
    if (f->temporary)
        return renameat2(AT_FDCWD, f->temporary, AT_FDCWD, to, f->replace ? 0 : RENAME_NOREPLACE) <
                       0
                   ? -errno
                   : 0;
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, to, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != EEXIST || !f->replace)
        return -errno;
    /* linkat does not replace: link beside it, then rename over it. */
    _free_ char *beside = NULL;
    if (asprintf(&beside, "%s.%d.part", to, (int)getpid()) < 0)
        return -ENOMEM;
    if (linkat(AT_FDCWD, self, AT_FDCWD, beside, AT_SYMLINK_FOLLOW) < 0)
        return -errno;
    if (rename(beside, to) < 0) {
        int code = errno;
        unlink(beside);
        return -code;
    }
    return 0;
}

int atomic_file_sync(const struct atomic_file *f, struct error *err)
{
    return fsync(f->fd) < 0 ? error_errno(err, errno, "%s", f->path) : 0;
}

int atomic_file_name(struct atomic_file *f, struct error *err)
{
    int r = name_file(f, f->path);
    if (r < 0)
        return error_errno(err, -r, "%s", f->path);
    free(TAKE_PTR(f->temporary));
    return 0;
}

int atomic_file_sync_folder(const struct atomic_file *f, struct error *err)
{
    return fsync(f->folder) < 0 ? error_errno(err, errno, "%s: syncing its folder", f->path) : 0;
}

int atomic_file_commit(struct atomic_file *f, struct error *err)
{
    int r = atomic_file_sync(f, err);
    if (r == 0)
        r = atomic_file_name(f, err);
    if (r == 0)
        r = atomic_file_sync_folder(f, err);
    if (r == 0)
        atomic_file_abort(f);
    return r;
}

void atomic_file_abort(struct atomic_file *f)
{
    if (f->temporary)
        unlink(f->temporary);
    if (f->fd >= 0)
        close(f->fd);
    if (f->folder >= 0)
        close(f->folder);
    free(f->temporary);
    free(f->path);
    *f = ATOMIC_FILE_NONE;
}

int write_file_atomic(const char *path, struct bytes content, mode_t mode, bool replace,
                      struct error *err)
{
    _atomic_file_ struct atomic_file f = ATOMIC_FILE_NONE;
    int r = atomic_file_open(&f, path, mode, replace, err);
    if (r < 0)
        return r;
    r = write_exact(f.fd, content.data, content.size);
    if (r < 0)
        return error_errno(err, -r, "%s", path);
    return atomic_file_commit(&f, err);
}
