/*
 * Bytes are a pointer and a length. `struct bytes` is a view that owns nothing; `struct buffer`
 * owns and grows up to a stated maximum; `struct reader` takes a view apart and remembers the
 * first error, so that a parser checks once (sticky error).
 */
#ifndef ENCROOT_BASE_BYTES_H
#define ENCROOT_BASE_BYTES_H

#include "base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    const uint8_t *data;
    size_t size;
};

#define BYTES(p, n) ((struct bytes){.data = (const uint8_t *)(p), .size = (n)})
#define BYTES_OF(array) BYTES((array), sizeof(array))
#define BYTES_STR(s) BYTES((s), strlen(s))
#define BYTES_NONE ((struct bytes){NULL, 0})

/* Equal in length and content. Not constant-time: for public data only. */
bool bytes_equal(struct bytes a, struct bytes b);

/* Constant-time for equal lengths (the length itself is public). For secrets and MACs. */
bool bytes_equal_ct(struct bytes a, struct bytes b);

/* All bytes zero (also true for the empty view). Fast: scans blocks at memory speed. */
bool bytes_are_zero(const void *p, size_t n);

/* ---- owned, growing ---- */
struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t max; /* 0: BUFFER_DEFAULT_MAX */
};
#define BUFFER_DEFAULT_MAX ((size_t)64 << 20)

/* Returns 0, -ENOMEM, or -EFBIG beyond the maximum; on failure the buffer is unchanged. */
int buffer_append(struct buffer *b, const void *p, size_t n) _must_use_;
int buffer_reserve(struct buffer *b, size_t extra) _must_use_;
int buffer_printf(struct buffer *b, const char *fmt, ...) _printf_(2, 3);
/* Frees without wiping: not for secrets (see base/secret.h). */
void buffer_free(struct buffer *b);
static inline struct bytes buffer_bytes(const struct buffer *b)
{
    return BYTES(b->data, b->size);
}
#define _buffer_ _cleanup_(buffer_free)

/* ---- taking apart ---- */
struct reader {
    struct bytes in;
    size_t at;
    int error; /* 0, or -EBADMSG once anything went past the end; sticky */
};
static inline struct reader reader_of(struct bytes in)
{
    return (struct reader){.in = in};
}
/* All return zero / the empty view once `error` is set. */
uint8_t read_u8(struct reader *r);
uint16_t read_le16(struct reader *r);
uint32_t read_le32(struct reader *r);
uint64_t read_le64(struct reader *r);
uint16_t read_be16(struct reader *r);
uint32_t read_be32(struct reader *r);
struct bytes read_bytes(struct reader *r, size_t n);
static inline size_t reader_left(const struct reader *r)
{
    return r->error ? 0 : r->in.size - r->at;
}

static inline void put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void put_le32(uint8_t *p, uint32_t v)
{
    put_le16(p, (uint16_t)v);
    put_le16(p + 2, (uint16_t)(v >> 16));
}
static inline void put_le64(uint8_t *p, uint64_t v)
{
    put_le32(p, (uint32_t)v);
    put_le32(p + 4, (uint32_t)(v >> 32));
}
static inline void put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void put_be32(uint8_t *p, uint32_t v)
{
    put_be16(p, (uint16_t)(v >> 16));
    put_be16(p + 2, (uint16_t)v);
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
    put_be32(p, (uint32_t)(v >> 32));
    put_be32(p + 4, (uint32_t)v);
}

#endif
