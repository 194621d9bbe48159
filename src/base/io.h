/* Whole reads and writes, files read into bounded buffers, files that appear whole or not at all.
 */
#ifndef ENCROOT_BASE_IO_H
#define ENCROOT_BASE_IO_H

#include "base/bytes.h"
#include "base/error.h"

#include <sys/types.h>

/* All `n` bytes or a negative errno (-ENODATA when the file ends early). EINTR is retried. */
int read_exact(int fd, void *p, size_t n) _must_use_;
int write_exact(int fd, const void *p, size_t n) _must_use_;
int pread_exact(int fd, void *p, size_t n, off_t at) _must_use_;
int pwrite_exact(int fd, const void *p, size_t n, off_t at) _must_use_;

/*
 * Read a whole file of at most `max` bytes (-EFBIG beyond). Works on files whose size is not
 * known beforehand (/proc, pipes). The text for errors names the path.
 */
int read_file(const char *path, size_t max, struct buffer *ret, struct error *err) _must_use_;
int read_fd(int fd, const char *name, size_t max, struct buffer *ret, struct error *err) _must_use_;

/* Is there anything of this name, a dangling symbolic link too? */
bool name_is_taken(const char *path);

/*
 * A file that appears under its final name only when complete. Where the filesystem can, the
 * file has no name at all until then (O_TMPFILE), so that even SIGKILL leaves nothing behind;
 * elsewhere it is "<path>.XXXXXX.part" and is removed by atomic_file_abort.
 */
struct atomic_file {
    int fd;          /* open for reading and writing */
    int folder;      /* to be synced when the name is given */
    char *path;      /* the final name */
    char *temporary; /* NULL with O_TMPFILE */
    bool replace;    /* may replace an existing file */
};
#define ATOMIC_FILE_NONE ((struct atomic_file){.fd = -1, .folder = -1})

/* -EEXIST at once when `path` exists and !replace. `mode` is masked by the umask. */
int atomic_file_open(struct atomic_file *f, const char *path, mode_t mode, bool replace,
                     struct error *err) _must_use_;
/*
 * The steps of a commit, for files that are to appear together: sync all contents, which may take
 * minutes, then give all names, then sync the folders.
 */
int atomic_file_sync(const struct atomic_file *f, struct error *err) _must_use_;
int atomic_file_name(struct atomic_file *f, struct error *err) _must_use_;
int atomic_file_sync_folder(const struct atomic_file *f, struct error *err) _must_use_;
/* All three. After success the fd is closed. */
int atomic_file_commit(struct atomic_file *f, struct error *err) _must_use_;
/* Close it, and drop it if it has no name yet; does nothing on ATOMIC_FILE_NONE. */
void atomic_file_abort(struct atomic_file *f);
#define _atomic_file_ _cleanup_(atomic_file_abort)

/* The three steps in one, for small files. */
int write_file_atomic(const char *path, struct bytes content, mode_t mode, bool replace,
                      struct error *err) _must_use_;

#endif
