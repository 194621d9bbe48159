#include "base/secret.h"
#include "base/io.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define SECRET_MAX ((size_t)1 << 20)

struct secret {
    size_t size;   /* bytes of the secret */
    size_t mapped; /* bytes of the mapping, this header included */
    uint8_t data[];
};

void wipe(void *p, size_t n)
{
    if (n)
        explicit_bzero(p, n);
}

struct secret *secret_new(size_t size)
{
    if (size == 0 || size > SECRET_MAX)
        return NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t mapped = (sizeof(struct secret) + size + page - 1) / page * page;
    void *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* An unlockable page could reach the swap: better no secret than one on a disk. */
    if (mlock(p, mapped) < 0 || madvise(p, mapped, MADV_DONTDUMP) < 0) {
        munmap(p, mapped);
        return NULL;
    }
    madvise(p, mapped, MADV_WIPEONFORK);
    struct secret *s = p;
    s->size = size;
    s->mapped = mapped;
    return s;
}

struct secret *secret_random(size_t size)
{
    struct secret *s = secret_new(size);
    for (size_t at = 0; s && at < size;) {
        ssize_t n = getrandom(s->data + at, size - at, 0);
        if (n < 0 && errno != EINTR) {
            secret_free(s);
            return NULL;
        }
        if (n > 0)
            at += (size_t)n;
    }
    return s;
}

void secret_free(struct secret *s)
{
    if (!s)
        return;
    size_t mapped = s->mapped;
    wipe(s, mapped);
    munmap(s, mapped);
}

uint8_t *secret_data(struct secret *s)
{
    return s->data;
}

size_t secret_size(const struct secret *s)
{
    return s->size;
}

struct bytes secret_bytes(const struct secret *s)
{
    return BYTES(s->data, s->size);
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    return bytes_equal_ct(secret_bytes(a), secret_bytes(b));
}

int secret_read_file(struct secret **ret, const char *path, size_t size, bool strict,
                     struct error *err)
{
    _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s: not a regular file", path);
    if (strict && (st.st_mode & 077))
        return error_hint(err,
                          error_set(err, EPERM, "%s: key file is open to others (mode %03o)", path,
                                    st.st_mode & 0777),
                          "chmod 600 %s", path);
    if ((size_t)st.st_size != size)
        return error_set(err, EINVAL, "%s: expected a key of %zu bytes, found %lld", path, size,
                         (long long)st.st_size);
    _secret_ struct secret *s = secret_new(size);
    if (!s)
        return error_set(err, ENOMEM, "cannot lock memory for a key");
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, s->data + at, size - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, errno, "%s", path);
        if (n == 0)
            return error_set(err, EIO, "%s: ended after %zu of %zu bytes", path, at, size);
        at += (size_t)n;
    }
    *ret = TAKE_PTR(s);
    return 0;
}

int secret_write_file(const struct secret *s, const char *path, struct error *err)
{
    return write_file_atomic(path, secret_bytes(s), 0600, false, err);
}

void process_protect_secrets(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}
