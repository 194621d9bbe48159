#include "disk/sketch.h"

#include <inttypes.h>
#include <sys/mman.h>

static int copy(struct blockdev *d, int fd, uint64_t at, uint64_t n, struct error *err)
{
    uint8_t block[65536];
    for (uint64_t end = at + n; at < end;) {
        size_t step = end - at < sizeof(block) ? (size_t)(end - at) : sizeof(block);
        int r = blockdev_read(d, block, step, at, err);
        if (r < 0)
            return r;
        r = bytes_are_zero(block, step) ? 0 : pwrite_exact(fd, block, step, (off_t)at);
        if (r < 0)
            return error_errno(err, -r, "%s: copying %" PRIu64, d->name, at);
        at += step;
    }
    return 0;
}

int sketch_open(struct blockdev *d, uint64_t head, uint64_t tail, struct error *err)
{
    _close_ int fd = memfd_create("sketch", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)d->size) < 0)
        return error_errno(err, errno, "%s: a file of its size in memory", d->name);
    if (head > d->size)
        head = d->size;
    if (tail > d->size - head)
        tail = d->size - head;
    int r = copy(d, fd, 0, head, err);
    if (r == 0)
        r = copy(d, fd, d->size - tail, tail, err);
    return r < 0 ? r : TAKE_FD(fd);
}
