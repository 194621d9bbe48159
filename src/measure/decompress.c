#include "measure/decompress.h"
#include "measure/lz4.h"

#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK ((size_t)1 << 18)
#define XZ_MEMORY_MAX ((uint64_t)256 << 20)
#define ZSTD_WINDOW_LOG_MAX 27 /* 128 MiB, what the kernel's own images use at most */

/* Each step gives one chunk of output; `in` and `out` move forward. 1: the stream ended. */
struct decoder {
    enum compression format;
    uint8_t magic[6];
    size_t magic_size;
    const char *name;
    void *(*begin)(void);
    int (*step)(void *state, struct bytes *in, uint8_t *out, size_t room, size_t *made);
    void (*end)(void *state);
    int (*whole)(struct buffer *out, struct bytes *in); /* instead of the three */
};

static void *gzip_begin(void)
{
    z_stream *z = calloc(1, sizeof(*z));
    if (z && inflateInit2(z, 15 + 16) != Z_OK) {
        free(z);
        return NULL;
    }
    return z;
}

static int gzip_step(void *state, struct bytes *in, uint8_t *out, size_t room, size_t *made)
{
    z_stream *z = state;
    uInt take = in->size < CHUNK ? (uInt)in->size : (uInt)CHUNK;
    z->next_in = (Bytef *)in->data;
    z->avail_in = take;
    z->next_out = out;
    z->avail_out = (uInt)room;
    int r = inflate(z, Z_NO_FLUSH);
    size_t eaten = take - z->avail_in;
    *in = BYTES(in->data + eaten, in->size - eaten);
    *made = room - z->avail_out;
    return r == Z_STREAM_END ? 1 : r == Z_OK ? 0 : r == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

static void gzip_end(void *state)
{
    inflateEnd(state);
    free(state);
}

static void *xz_begin(void)
{
    lzma_stream *x = calloc(1, sizeof(*x));
    if (x && lzma_stream_decoder(x, XZ_MEMORY_MAX, 0) != LZMA_OK) {
        free(x);
        return NULL;
    }
    return x;
}

static int xz_step(void *state, struct bytes *in, uint8_t *out, size_t room, size_t *made)
{
    lzma_stream *x = state;
    x->next_in = in->data;
    x->avail_in = in->size;
    x->next_out = out;
    x->avail_out = room;
    lzma_ret r = lzma_code(x, LZMA_RUN);
    size_t eaten = in->size - x->avail_in;
    *in = BYTES(in->data + eaten, in->size - eaten);
    *made = room - x->avail_out;
    if (r == LZMA_STREAM_END)
        return 1;
    return r == LZMA_OK ? 0 : r == LZMA_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

static void xz_end(void *state)
{
    lzma_end(state);
    free(state);
}

static void *zstd_begin(void)
{
    ZSTD_DStream *d = ZSTD_createDStream();
    if (d && ZSTD_isError(ZSTD_DCtx_setParameter(d, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX))) {
        ZSTD_freeDStream(d);
        return NULL;
    }
    return d;
}

static int zstd_step(void *state, struct bytes *in, uint8_t *out, size_t room, size_t *made)
{
    ZSTD_inBuffer from = {.src = in->data, .size = in->size};
    ZSTD_outBuffer to = {.dst = out, .size = room};
    size_t r = ZSTD_decompressStream(state, &to, &from);
    *in = BYTES(in->data + from.pos, in->size - from.pos);
    *made = to.pos;
    return ZSTD_isError(r) ? -EBADMSG : r == 0 ? 1 : 0;
}

static void zstd_end(void *state)
{
    ZSTD_freeDStream(state);
}

static const struct decoder decoders[] = {
    {COMPRESSION_GZIP, {0x1f, 0x8b, 0x08}, 3, "gzip", gzip_begin, gzip_step, gzip_end},
    {COMPRESSION_XZ, {0xfd, '7', 'z', 'X', 'Z', 0}, 6, "xz", xz_begin, xz_step, xz_end},
    {COMPRESSION_ZSTD, {0x28, 0xb5, 0x2f, 0xfd}, 4, "zstd", zstd_begin, zstd_step, zstd_end},
    {COMPRESSION_LZ4, {0x02, 0x21, 0x4c, 0x18}, 4, "lz4", .whole = lz4_legacy_decode},
};

static const struct decoder *decoder_for(struct bytes in)
{
    for (size_t i = 0; i < ARRAY_SIZE(decoders); i++)
        if (in.size >= decoders[i].magic_size &&
            memcmp(in.data, decoders[i].magic, decoders[i].magic_size) == 0)
            return &decoders[i];
    return NULL;
}

enum compression compression_probe(struct bytes in)
{
    const struct decoder *d = decoder_for(in);
    return d ? d->format : COMPRESSION_NONE;
}

/* Until the stream ends; a step that neither eats nor makes anything has run out of input. */
static int run_steps(const struct decoder *d, void *state, struct bytes *in, struct buffer *out)
{
    for (;;) {
        /* One byte more than allowed tells "exactly the maximum" from "too much". */
        size_t room = out->max - out->size < CHUNK ? out->max - out->size : CHUNK;
        if (room == 0)
            return -EFBIG;
        int r = buffer_reserve(out, room);
        if (r < 0)
            return r;
        size_t before = in->size;
        size_t made = 0;
        r = d->step(state, in, out->data + out->size, room, &made);
        out->size += made;
        if (r != 0)
            return r < 0 ? r : 0;
        if (made == 0 && in->size == before)
            return -EBADMSG;
    }
}

static int run(const struct decoder *d, struct bytes *in, struct buffer *out)
{
    void *state = d->begin();
    if (!state)
        return -ENOMEM;
    int r = run_steps(d, state, in, out);
    d->end(state);
    return r;
}

static int describe(const struct decoder *d, int r, size_t max, struct error *err)
{
    if (r == -EFBIG)
        return error_set(err, EFBIG, "%s: more than %zu bytes when decompressed", d->name, max);
    if (r == -ENOMEM)
        return error_set(err, ENOMEM, "%s: out of memory", d->name);
    return error_set(err, EBADMSG, "%s: damaged or ends early", d->name);
}

int decompress_stream(struct buffer *ret, struct bytes in, size_t max, size_t *used,
                      struct error *err)
{
    const struct decoder *d = decoder_for(in);
    if (!d || max >= SIZE_MAX - 1)
        return error_set(err, EINVAL, "not compressed with gzip, xz, zstd or lz4");
    _buffer_ struct buffer out = {.max = max + 1};
    struct bytes left = in;
    int r = d->whole ? d->whole(&out, &left) : run(d, &left, &out);
    if (r == 0 && out.size > max)
        r = -EFBIG;
    if (r < 0)
        return describe(d, r, max, err);
    out.max = max;
    buffer_free(ret);
    *ret = out;
    out = (struct buffer){0};
    *used = in.size - left.size;
    return 0;
}

static int copy(struct buffer *ret, struct bytes in, size_t max, struct error *err)
{
    struct buffer out = {.max = max ? max : 1};
    if (in.size > max)
        return error_set(err, EFBIG, "larger than the limit of %zu bytes", max);
    if (buffer_append(&out, in.data, in.size) < 0)
        return error_set(err, ENOMEM, "out of memory");
    buffer_free(ret);
    *ret = out;
    return 0;
}

int decompress(struct buffer *ret, struct bytes in, size_t max, struct error *err)
{
    if (!decoder_for(in))
        return copy(ret, in, max, err);
    _buffer_ struct buffer out = {0};
    size_t used;
    int r = decompress_stream(&out, in, max, &used, err);
    if (r < 0)
        return r;
    if (!bytes_are_zero(in.data + used, in.size - used))
        return error_set(err, EBADMSG, "%zu bytes follow the compressed stream", in.size - used);
    buffer_free(ret);
    *ret = out;
    out = (struct buffer){0};
    return 0;
}
