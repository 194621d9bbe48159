#include "base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool bytes_equal_ct(struct bytes a, struct bytes b)
{
    if (a.size != b.size)
        return false;
    volatile uint8_t diff = 0;
    for (size_t i = 0; i < a.size; i++)
        diff |= a.data[i] ^ b.data[i];
    return diff == 0;
}

bool bytes_are_zero(const void *p, size_t n)
{
    const uint8_t *b = p;
    size_t head = n < 16 ? n : 16;
    for (size_t i = 0; i < head; i++)
        if (b[i])
            return false;
    /* If the first 16 bytes are zero and each byte equals the one 16 before it, all are zero. */
    return n <= 16 || memcmp(b, b + 16, n - 16) == 0;
}

int buffer_reserve(struct buffer *b, size_t extra)
{
    size_t max = b->max ? b->max : BUFFER_DEFAULT_MAX;
    if (extra > max || b->size > max - extra)
        return -EFBIG;
    size_t need = b->size + extra;
    if (need <= b->capacity)
        return 0;
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity < need)
        capacity *= 2;
    uint8_t *data = realloc(b->data, capacity);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->capacity = capacity;
    return 0;
}

int buffer_append(struct buffer *b, const void *p, size_t n)
{
    int r = buffer_reserve(b, n);
    if (r < 0)
        return r;
    if (n)
        memcpy(b->data + b->size, p, n);
    b->size += n;
    return 0;
}

int buffer_printf(struct buffer *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    /* One byte more for the NUL that vsnprintf writes; it does not count. */
    int r = n < 0 ? -EINVAL : buffer_reserve(b, (size_t)n + 1);
    if (r == 0) {
        vsnprintf((char *)b->data + b->size, (size_t)n + 1, fmt, again);
        b->size += (size_t)n;
    }
    va_end(again);
    return r;
}

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){.max = b->max};
}

struct bytes read_bytes(struct reader *r, size_t n)
{
    if (r->error || n > r->in.size - r->at) {
        r->error = -EBADMSG;
        return BYTES_NONE;
    }
    struct bytes out = BYTES(r->in.data + r->at, n);
    r->at += n;
    return out;
}

static uint64_t read_le(struct reader *r, size_t n)
{
    struct bytes b = read_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = b.size; i > 0; i--)
        v = v << 8 | b.data[i - 1];
    return v;
}

static uint64_t read_be(struct reader *r, size_t n)
{
    struct bytes b = read_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; i < b.size; i++)
        v = v << 8 | b.data[i];
    return v;
}

uint8_t read_u8(struct reader *r)
{
    return (uint8_t)read_le(r, 1);
}
uint16_t read_le16(struct reader *r)
{
    return (uint16_t)read_le(r, 2);
}
uint32_t read_le32(struct reader *r)
{
    return (uint32_t)read_le(r, 4);
}
uint64_t read_le64(struct reader *r)
{
    return read_le(r, 8);
}
uint16_t read_be16(struct reader *r)
{
    return (uint16_t)read_be(r, 2);
}
uint32_t read_be32(struct reader *r)
{
    return (uint32_t)read_be(r, 4);
}
