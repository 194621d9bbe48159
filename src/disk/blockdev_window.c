/* A part of another device, seen as a device: a partition. */
#include "disk/blockdev_internal.h"

#include <inttypes.h>

struct window {
    struct blockdev d;
    struct blockdev *parent;
    uint64_t at;
};

static int window_read(struct blockdev *d, void *p, size_t n, uint64_t at, struct error *err)
{
    struct window *w = (struct window *)d;
    return blockdev_read(w->parent, p, n, w->at + at, err);
}

static int window_write(struct blockdev *d, const void *p, size_t n, uint64_t at, struct error *err)
{
    struct window *w = (struct window *)d;
    return blockdev_write(w->parent, p, n, w->at + at, err);
}

struct shift {
    blockdev_extent_fn fn;
    void *arg;
    uint64_t by;
};

static int shifted(void *arg, uint64_t at, uint64_t length, bool hole)
{
    const struct shift *s = arg;
    return s->fn(s->arg, at - s->by, length, hole);
}

static int window_extents(struct blockdev *d, uint64_t at, uint64_t n, blockdev_extent_fn fn,
                          void *arg, struct error *err)
{
    struct window *w = (struct window *)d;
    struct shift s = {.fn = fn, .arg = arg, .by = w->at};
    return blockdev_extents(w->parent, w->at + at, n, shifted, &s, err);
}

static int window_flush(struct blockdev *d, struct error *err)
{
    return blockdev_flush(((struct window *)d)->parent, err);
}

static void window_close(struct blockdev *d)
{
    free(d);
}

static const struct blockdev_ops window_ops = {.read = window_read,
                                               .write = window_write,
                                               .extents = window_extents,
                                               .flush = window_flush,
                                               .close = window_close};

int blockdev_window(struct blockdev **ret, struct blockdev *parent, uint64_t at, uint64_t size,
                    struct error *err)
{
    if (at > parent->size || size > parent->size - at)
        return error_set(err, EINVAL,
                         "%s: %" PRIu64 " bytes at %" PRIu64 " are beyond its end at %" PRIu64,
                         parent->name, size, at, parent->size);
    _free_ struct window *w = calloc(1, sizeof(*w));
    if (!w || blockdev_init(&w->d, &window_ops, size, parent->name) < 0)
        return error_set(err, ENOMEM, "%s: out of memory", parent->name);
    w->parent = parent;
    w->at = at;
    *ret = &TAKE_PTR(w)->d;
    return 0;
}
