#include "measure/lz4.h"

#include <errno.h>
#include <string.h>

/* LZ4 frame format, "Legacy frame": every block but the last decompresses to 8 MiB. */
#define BLOCK_MAX ((size_t)8 << 20)
#define MAGIC_SIZE 4

/* A length that begins in four bits of the token and goes on in bytes (LZ4 block format). */
static size_t read_length(struct reader *r, unsigned bits)
{
    size_t length = bits;
    uint8_t more = bits == 15 ? 255 : 0;
    while (more == 255 && !r->error && length <= BLOCK_MAX) {
        more = read_u8(r);
        length += more;
    }
    return length;
}

/* Matches may overlap what they make, so they are copied byte by byte. */
static int copy_match(uint8_t *out, size_t made, size_t offset, size_t length, size_t room)
{
    if (offset == 0 || offset > made)
        return -EBADMSG;
    if (length > room - made)
        return -EFBIG;
    for (size_t i = 0; i < length; i++)
        out[made + i] = out[made + i - offset];
    return 0;
}

/* One block to at most `room` bytes at `out`. Returns 0 and how many in `made`. */
static int decode_block(struct bytes block, uint8_t *out, size_t room, size_t *made)
{
    struct reader r = reader_of(block);
    size_t n = 0;
    while (reader_left(&r) > 0) {
        uint8_t token = read_u8(&r);
        size_t literals = read_length(&r, token >> 4);
        struct bytes text = read_bytes(&r, literals);
        if (r.error)
            return -EBADMSG;
        if (literals > room - n)
            return -EFBIG;
        if (literals > 0)
            memcpy(out + n, text.data, literals);
        n += literals;
        if (reader_left(&r) == 0)
            break; /* the last sequence has literals only */
        size_t offset = read_le16(&r);
        size_t length = read_length(&r, token & 15) + 4;
        int result = r.error ? -EBADMSG : copy_match(out, n, offset, length, room);
        if (result < 0)
            return result;
        n += length;
    }
    *made = n;
    return 0;
}

int lz4_legacy_decode(struct buffer *out, struct bytes *in)
{
    struct reader r = reader_of(*in);
    (void)read_bytes(&r, MAGIC_SIZE);
    while (reader_left(&r) > 4) {
        size_t before = r.at;
        uint32_t size = read_le32(&r);
        if (size == 0) {
            r.at = before;
            break;
        }
        struct bytes block = read_bytes(&r, size);
        size_t left = out->max - out->size;
        size_t room = left < BLOCK_MAX ? left : BLOCK_MAX;
        size_t made = 0;
        int result = r.error ? -EBADMSG : buffer_reserve(out, room);
        if (result == 0)
            result = decode_block(block, out->data + out->size, room, &made);
        if (result < 0) /* more than 8 MiB in a block is no matter of our maximum */
            return result == -EFBIG && room == BLOCK_MAX ? -EBADMSG : result;
        out->size += made;
    }
    if (r.error)
        return -EBADMSG;
    *in = BYTES(in->data + r.at, in->size - r.at);
    return 0;
}
