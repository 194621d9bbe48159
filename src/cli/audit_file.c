#include "cli/audit_file.h"
#include "base/io.h"

#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* What stands at the end of the file. */
struct end {
    struct audit_state state; /* of the chain there */
    bool open;                /* its last record has no line end */
    off_t size;               /* of the file */
    off_t at;                 /* where the next line goes: before the torn bytes */
    struct buffer torn;
};

static void end_free(struct end *e)
{
    buffer_free(&e->torn);
}

/* A new file is not durable before its name is. */
static int sync_folder(const char *path, struct error *err)
{
    _free_ char *copy = strdup(path);
    if (!copy)
        return error_set(err, ENOMEM, "out of memory");
    const char *folder = dirname(copy);
    _close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? error_errno(err, errno, "%s: syncing its folder", path) : 0;
}

static int changed(const char *path, int r, struct error *err)
{
    error_prefix(err, r, "%s: the chain of records was changed", path);
    return error_hint(err, -EUCLEAN,
                      "`encroot audit verify` says where. Nothing is released until it is cleared "
                      "up: keep the file, and move it away to begin a new chain");
}

/* ---- the end of the file ---- */
static const uint8_t *last_newline(struct bytes text)
{
    return text.size ? memrchr(text.data, '\n', text.size) : NULL;
}

/* The last line of `text`, which ends in a newline. `begins`: so does the file. */
static int read_last_record(struct end *e, struct bytes text, bool begins, const char *path,
                            struct error *err)
{
    _audit_record_ struct audit_record last = {0};
    if (text.size == 0)
        return 0;
    struct bytes line = BYTES(text.data, text.size - 1);
    const uint8_t *before = last_newline(line);
    if (before)
        line = BYTES(before + 1, (size_t)(line.data + line.size - before - 1));
    else if (!begins)
        return changed(path, error_set(err, EUCLEAN, "the last line is too long"), err);
    int r = audit_parse(&last, line, "the last line", err);
    if (r == 0)
        r = audit_verify_hash(&last, "the last line", err);
    if (r < 0)
        return changed(path, r, err);
    e->state = audit_state_after(&last);
    return 0;
}

/* What stands behind the last newline: a record, but for its line end, or torn. */
static int read_rest(struct end *e, struct bytes rest, const char *path, struct error *err)
{
    _audit_record_ struct audit_record r = {0};
    if (rest.size > AUDIT_RECORD_MAX)
        return changed(path, error_set(err, EUCLEAN, "the last line is too long"), err);
    if (audit_parse(&r, rest, "the last line", NULL) == 0) {
        int n = audit_verify(&e->state, &r, "the last line", err);
        if (n < 0)
            return changed(path, n, err);
        e->open = true;
        e->at = e->size;
        e->state = audit_state_after(&r);
    } else if (buffer_append(&e->torn, rest.data, rest.size) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

static int read_end(int fd, struct end *e, const char *path, struct error *err)
{
    size_t room = 2 * (AUDIT_RECORD_MAX + 1);
    size_t n = (uint64_t)e->size < room ? (size_t)e->size : room;
    _free_ uint8_t *text = malloc(n + 1);
    if (!text)
        return error_set(err, ENOMEM, "out of memory");
    int r = pread_exact(fd, text, n, e->size - (off_t)n);
    if (r < 0)
        return error_errno(err, -r, "%s", path);
    const uint8_t *newline = last_newline(BYTES(text, n));
    size_t whole = newline ? (size_t)(newline + 1 - text) : 0;
    e->at = e->size - (off_t)(n - whole);
    r = read_last_record(e, BYTES(text, whole), n == (uint64_t)e->size, path, err);
    return r == 0 && whole < n ? read_rest(e, BYTES(text + whole, n - whole), path, err) : r;
}

/* ---- writing ---- */
/* Kept before they are overwritten. If a crash comes in between they are there twice. */
static int keep_torn(const struct end *e, const char *path, struct error *err)
{
    _free_ char *torn = NULL;
    if (asprintf(&torn, "%s.torn", path) < 0) {
        torn = NULL;
        return error_set(err, ENOMEM, "out of memory");
    }
    _close_ int fd = open(torn, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_errno(err, errno, "%s", torn);
    int r = write_exact(fd, e->torn.data, e->torn.size);
    if (r == 0)
        r = write_exact(fd, "\n", 1);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    return r < 0 ? error_errno(err, -r, "%s", torn) : 0;
}

/*
 * Over the torn bytes, not after cutting them off: whatever a crash leaves of this, the chain says
 * that there was something, or it is still there.
 */
static int write_line(int fd, const struct end *e, struct bytes line)
{
    int r = pwrite_exact(fd, line.data, line.size, e->at);
    if (r == 0 && ftruncate(fd, e->at + (off_t)line.size) < 0)
        r = -errno;
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r == 0)
        return 0;
    /* As it was. Should that fail, too, the rest is torn and the next one mends it. */
    if (pwrite_exact(fd, e->torn.data, e->torn.size, e->at) < 0 || ftruncate(fd, e->size) < 0)
        return r;
    return r;
}

static int make_line(struct end *e, const struct audit_entry *entry, struct buffer *ret,
                     struct audit_state *ret_next, struct error *err)
{
    struct audit_entry recovering = *entry;
    recovering.recovered = e->torn.size;
    int r = buffer_printf(ret, "%s", e->open ? "\n" : "");
    if (r == 0)
        r = audit_make(&e->state, &recovering, ret, ret_next, err);
    if (r == 0 && buffer_append(ret, "\n", 1) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    return r;
}

static int open_locked(const char *path, off_t *ret_size, struct error *err)
{
    struct stat st;
    _close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s: expected an ordinary file", path);
    *ret_size = st.st_size;
    return TAKE_FD(fd);
}

int audit_file_append(const char *path, const struct audit_entry *entry, struct audit_state *ret,
                      struct error *err)
{
    _cleanup_(end_free) struct end e = {0};
    _buffer_ struct buffer line = {0};
    struct audit_state next;
    _close_ int fd = open_locked(path, &e.size, err);
    if (fd < 0)
        return fd;
    int r = read_end(fd, &e, path, err);
    if (r == 0)
        r = make_line(&e, entry, &line, &next, err);
    if (r == 0 && e.torn.size)
        r = keep_torn(&e, path, err);
    if (r == 0)
        r = sync_folder(path, err);
    if (r < 0)
        return r;
    r = write_line(fd, &e, buffer_bytes(&line));
    if (r < 0)
        return error_errno(err, -r, "%s", path);
    *ret = next;
    return 0;
}
