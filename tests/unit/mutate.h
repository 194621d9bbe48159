/*
 * Mutations of bytes: flipped, dropped, doubled, swapped, cut, grown, or taken from elsewhere. The
 * generator is fixed by its seed, so that a round can be repeated.
 */
#ifndef ENCROOT_TESTS_MUTATE_H
#define ENCROOT_TESTS_MUTATE_H

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

/* splitmix64: any seed is good, also consecutive ones. */
struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 to n - 1; n 0: 0. */
static inline size_t random_below(struct random *r, size_t n)
{
    return n ? random_next(r) % n : 0;
}

/* Ranges are mostly short. */
static inline size_t random_length(struct random *r, size_t left)
{
    size_t most = (size_t)1 << random_below(r, 9);
    return left ? 1 + random_below(r, most < left ? most : left) : 0;
}

/* Put `with`, which may be a part of `b`, in place of `n` bytes at `at`. Ends the test without
 * memory. */
static inline void splice(struct buffer *b, size_t at, size_t n, struct bytes with)
{
    struct buffer out = {.max = b->max};
    if (buffer_append(&out, b->data, at) < 0 || buffer_append(&out, with.data, with.size) < 0 ||
        buffer_append(&out, b->data + at + n, b->size - at - n) < 0)
        abort();
    buffer_free(b);
    *b = out;
}

/* `other` is of the same kind as `b`, from elsewhere. */
typedef void mutation(struct random *r, struct buffer *b, struct bytes other);

static inline void flip_bit(struct random *r, struct buffer *b, struct bytes other)
{
    if (b->size > 0)
        b->data[random_below(r, b->size)] ^= (uint8_t)(1u << random_below(r, 8));
}
static inline void set_byte(struct random *r, struct buffer *b, struct bytes other)
{
    if (b->size > 0)
        b->data[random_below(r, b->size)] = (uint8_t)random_next(r);
}
static inline void drop_range(struct random *r, struct buffer *b, struct bytes other)
{
    size_t at = random_below(r, b->size);
    splice(b, at, random_length(r, b->size - at), BYTES_NONE);
}
static inline void double_range(struct random *r, struct buffer *b, struct bytes other)
{
    size_t at = random_below(r, b->size);
    splice(b, at, 0, BYTES(b->data + at, random_length(r, b->size - at)));
}
static inline void drop_byte(struct random *r, struct buffer *b, struct bytes other)
{
    splice(b, random_below(r, b->size), b->size > 0, BYTES_NONE);
}
static inline void double_byte(struct random *r, struct buffer *b, struct bytes other)
{
    size_t at = random_below(r, b->size);
    splice(b, at, 0, BYTES(b->data + at, b->size > 0));
}
/* Moving a range is swapping it with its neighbour, which may be of another length. */
static inline void swap_ranges(struct random *r, struct buffer *b, struct bytes other)
{
    size_t at = random_below(r, b->size);
    size_t first = random_length(r, b->size - at);
    size_t second = random_length(r, b->size - at - first);
    splice(b, at + first + second, 0, BYTES(b->data + at, first));
    splice(b, at, first, BYTES_NONE);
}
static inline void swap_bytes(struct random *r, struct buffer *b, struct bytes other)
{
    if (b->size == 0)
        return;
    uint8_t *p = b->data + random_below(r, b->size), *q = b->data + random_below(r, b->size);
    uint8_t byte = *p;
    *p = *q;
    *q = byte;
}
static inline void swap_equal_ranges(struct random *r, struct buffer *b, struct bytes other)
{
    size_t n = random_length(r, b->size / 2);
    size_t at = random_below(r, b->size - 2 * n + 1);
    size_t to = at + n + random_below(r, b->size - at - 2 * n + 1);
    uint8_t copy[512];
    memcpy(copy, b->data + at, n);
    memcpy(b->data + at, b->data + to, n);
    memcpy(b->data + to, copy, n);
}
static inline void zero_range(struct random *r, struct buffer *b, struct bytes other)
{
    size_t at = random_below(r, b->size);
    memset(b->data + at, 0, random_length(r, b->size - at));
}
static inline void take_range(struct random *r, struct buffer *b, struct bytes other)
{
    size_t at = random_below(r, b->size < other.size ? b->size : other.size);
    size_t n = random_length(r, (b->size < other.size ? b->size : other.size) - at);
    splice(b, at, n, BYTES(other.data + at, n));
}
static inline void take_tail(struct random *r, struct buffer *b, struct bytes other)
{
    size_t at = random_below(r, b->size < other.size ? b->size : other.size);
    splice(b, at, b->size - at, BYTES(other.data + at, other.size - at));
}
static inline void cut(struct random *r, struct buffer *b, struct bytes other)
{
    b->size = random_below(r, b->size);
}
static inline void grow(struct random *r, struct buffer *b, struct bytes other)
{
    uint8_t junk[4] = {0};
    if (random_below(r, 2))
        put_le32(junk, (uint32_t)random_next(r));
    splice(b, b->size, 0, BYTES(junk, 1 + random_below(r, sizeof(junk))));
}

/* One mutation of any kind; the frequent ones stand in the list more than once. */
static inline void mutate_bytes(struct random *r, struct buffer *b, struct bytes other)
{
    static mutation *const mutations[] = {
        flip_bit,   flip_bit,    flip_bit,          set_byte,
        set_byte,   drop_byte,   double_byte,       swap_bytes,
        drop_range, swap_ranges, swap_equal_ranges, double_range,
        zero_range, take_range,  take_tail,         cut,
        grow,
    };
    mutations[random_below(r, ARRAY_SIZE(mutations))](r, b, other);
}

#endif
