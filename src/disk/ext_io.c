#include "disk/ext_io.h"

#include <string.h>

/*
 * Walking a tree of folders reads single blocks all over the place, and each may be a round trip to
 * another process. Chunks of CHUNK bytes are kept, each in the only slot that it fits into. Writes
 * go through at once.
 */
#define CHUNK ((uint64_t)65536)
#define SLOTS 128
#define NO_CHUNK UINT64_MAX

struct ext_io {
    struct blockdev *d;
    struct error *err;
    uint64_t held[SLOTS]; /* number of the chunk in each slot */
    uint8_t *data;
};

/* libext2fs opens by name only (and takes "?" in it for options); the device comes in here. */
static _Thread_local struct {
    struct blockdev *d;
    struct error *err;
} opening;

static struct ext_io *io_of(io_channel channel)
{
    return channel->private_data;
}

static errcode_t io_close(io_channel channel)
{
    if (--channel->refcount > 0)
        return 0;
    struct ext_io *io = io_of(channel);
    free(io->data);
    free(io);
    ext2fs_free_mem(&channel->name);
    ext2fs_free_mem(&channel);
    return 0;
}

static errcode_t io_set_blksize(io_channel channel, int size)
{
    channel->block_size = size;
    return 0;
}

static int fill_slot(struct ext_io *io, uint64_t chunk, uint8_t **ret)
{
    size_t slot = chunk % SLOTS;
    uint8_t *data = io->data + slot * CHUNK;
    if (io->held[slot] != chunk) {
        uint64_t left = io->d->size - chunk * CHUNK;
        io->held[slot] = NO_CHUNK;
        int r =
            blockdev_read(io->d, data, left < CHUNK ? (size_t)left : CHUNK, chunk * CHUNK, io->err);
        if (r < 0)
            return r;
        io->held[slot] = chunk;
    }
    *ret = data;
    return 0;
}

/* Number of bytes and place; a negative count means bytes (ext2_io.h). */
static bool find_range(io_channel channel, unsigned long long block, int count, uint64_t *at,
                       size_t *n)
{
    const struct blockdev *d = io_of(channel)->d;
    *n = count < 0 ? (size_t) - (int64_t)count : (size_t)count * (size_t)channel->block_size;
    return !__builtin_mul_overflow(block, (uint64_t)channel->block_size, at) && *at <= d->size &&
           *n <= d->size - *at;
}

static errcode_t io_read(io_channel channel, unsigned long long block, int count, void *data)
{
    struct ext_io *io = io_of(channel);
    uint64_t at;
    size_t n;
    if (!find_range(channel, block, count, &at, &n))
        return EXT2_ET_SHORT_READ;
    if (n >= CHUNK)
        return blockdev_read(io->d, data, n, at, io->err) < 0 ? EXT2_ET_SHORT_READ : 0;
    for (uint8_t *to = data; n > 0;) {
        uint8_t *chunk;
        if (fill_slot(io, at / CHUNK, &chunk) < 0)
            return EXT2_ET_SHORT_READ;
        size_t step = CHUNK - at % CHUNK < n ? (size_t)(CHUNK - at % CHUNK) : n;
        memcpy(to, chunk + at % CHUNK, step);
        to += step;
        at += step;
        n -= step;
    }
    return 0;
}

static errcode_t write_range(struct ext_io *io, const void *data, size_t n, uint64_t at)
{
    if (blockdev_write(io->d, data, n, at, io->err) < 0)
        return EXT2_ET_SHORT_WRITE;
    for (const uint8_t *from = data; n > 0;) {
        size_t step = CHUNK - at % CHUNK < n ? (size_t)(CHUNK - at % CHUNK) : n;
        size_t slot = at / CHUNK % SLOTS;
        if (io->held[slot] == at / CHUNK)
            memcpy(io->data + slot * CHUNK + at % CHUNK, from, step);
        from += step;
        at += step;
        n -= step;
    }
    return 0;
}

static errcode_t io_write(io_channel channel, unsigned long long block, int count, const void *data)
{
    uint64_t at;
    size_t n;
    if (!find_range(channel, block, count, &at, &n))
        return EXT2_ET_SHORT_WRITE;
    return write_range(io_of(channel), data, n, at);
}

static errcode_t io_read32(io_channel channel, unsigned long block, int count, void *data)
{
    return io_read(channel, block, count, data);
}

static errcode_t io_write32(io_channel channel, unsigned long block, int count, const void *data)
{
    return io_write(channel, block, count, data);
}

static errcode_t io_write_byte(io_channel channel, unsigned long at, int count, const void *data)
{
    const struct blockdev *d = io_of(channel)->d;
    if (count < 0 || at > d->size || (uint64_t)count > d->size - at)
        return EXT2_ET_SHORT_WRITE;
    return write_range(io_of(channel), data, (size_t)count, at);
}

static errcode_t io_flush(io_channel channel)
{
    return 0; /* written already; the device is flushed by whoever opened it */
}

static errcode_t io_open(const char *name, int flags, io_channel *ret);

static struct struct_io_manager manager = {
    .magic = EXT2_ET_MAGIC_IO_MANAGER,
    .name = "encroot block device",
    .open = io_open,
    .close = io_close,
    .set_blksize = io_set_blksize,
    .read_blk = io_read32,
    .write_blk = io_write32,
    .flush = io_flush,
    .write_byte = io_write_byte,
    .read_blk64 = io_read,
    .write_blk64 = io_write,
};

static errcode_t io_open(const char *name, int flags, io_channel *ret)
{
    io_channel channel = NULL;
    struct ext_io *io = calloc(1, sizeof(*io));
    uint8_t *data = malloc(SLOTS * CHUNK);
    if (!io || !data || ext2fs_get_memzero(sizeof(*channel), &channel) != 0 ||
        ext2fs_get_mem(strlen(name) + 1, &channel->name) != 0) {
        ext2fs_free_mem(&channel);
        free(io);
        free(data);
        return EXT2_ET_NO_MEMORY;
    }
    *io = (struct ext_io){.d = opening.d, .err = opening.err, .data = data};
    for (size_t i = 0; i < SLOTS; i++)
        io->held[i] = NO_CHUNK;
    memcpy(channel->name, name, strlen(name) + 1);
    channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    channel->manager = &manager;
    channel->block_size = 1024;
    channel->refcount = 1;
    channel->private_data = io;
    *ret = channel;
    return 0;
}

errcode_t ext_io_open(ext2_filsys *ret, struct blockdev *d, int flags, struct error *io_error)
{
    opening.d = d;
    opening.err = io_error;
    errcode_t r = ext2fs_open2("image", NULL, flags, 0, 0, &manager, ret);
    opening.d = NULL;
    opening.err = NULL;
    return r;
}
