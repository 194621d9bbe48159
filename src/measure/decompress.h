/* gzip, xz, zstd and lz4 (legacy frames, as kernels have them) by their magic: kernels and modules.
 */
#ifndef ENCROOT_MEASURE_DECOMPRESS_H
#define ENCROOT_MEASURE_DECOMPRESS_H

#include "base/bytes.h"
#include "base/error.h"

enum compression {
    COMPRESSION_NONE,
    COMPRESSION_GZIP,
    COMPRESSION_XZ,
    COMPRESSION_ZSTD,
    COMPRESSION_LZ4,
};
enum compression compression_probe(struct bytes in);

/*
 * Append the decompressed content of `in` to `ret` (an empty buffer whose maximum becomes `max`);
 * input in none of the formats is copied. Exactly one stream is read; zeros may follow it (the
 * padding of kernel images), any other byte is -EBADMSG. More than `max` bytes: -EFBIG.
 * A stream that ends early: -EBADMSG.
 */
int decompress(struct buffer *ret, struct bytes in, size_t max, struct error *err) _must_use_;

/* The same, but what follows the one stream does not matter and is counted in `used`. */
int decompress_stream(struct buffer *ret, struct bytes in, size_t max, size_t *used,
                      struct error *err) _must_use_;

#endif
