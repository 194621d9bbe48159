/* LZ4's legacy frame, which Linux kernels of Debian's cloud flavour are compressed with. */
#ifndef ENCROOT_MEASURE_LZ4_H
#define ENCROOT_MEASURE_LZ4_H

#include "base/bytes.h"

/*
 * Append what the frame at the start of `in` holds to `out`, within its maximum (-EFBIG), and
 * move `in` behind it. The frame has no end mark: it ends with the input, before a last 4 bytes
 * (where the kernel's build puts the decompressed size), or at a block of size zero.
 */
int lz4_legacy_decode(struct buffer *out, struct bytes *in) _must_use_;

#endif
