/* Files copied into memory that nobody can change any more: measured once, run as measured. */
#include "base/io.h"
#include "tmm/machine.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define CHUNK ((size_t)1 << 20)

static int copy_all(int from, int to, size_t max)
{
    _free_ char *chunk = malloc(CHUNK);
    size_t total = 0;

    if (!chunk)
        return -ENOMEM;
    for (;;) {
        ssize_t n = read(from, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        if ((size_t)n > max - total)
            return -EFBIG;
        total += (size_t)n;
        int r = write_exact(to, chunk, (size_t)n);
        if (r < 0)
            return r;
    }
}

int sealed_copy(const char *path, size_t max, struct error *err)
{
    _close_ int from = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;

    if (from < 0)
        return error_errno(err, errno, "%s: cannot open", path);
    if (fstat(from, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "%s: not a regular file", path);
    _close_ int copy = memfd_create("encroot-tmm", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0)
        return error_errno(err, errno, "cannot get memory for a copy of %s", path);
    int r = copy_all(from, copy, max);
    if (r == -EFBIG)
        return error_set(err, EFBIG, "%s: more than %zu MiB", path, max >> 20);
    if (r < 0)
        return error_errno(err, -r, "%s: cannot copy", path);
    if (fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return error_errno(err, errno, "cannot seal the copy of %s", path);
    return TAKE_FD(copy);
}
