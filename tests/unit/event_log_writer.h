/* Writes TCG crypto-agile event logs for tests: SHA-1 and SHA-256 banks, or any others. */
#ifndef ENCROOT_TESTS_EVENT_LOG_WRITER_H
#define ENCROOT_TESTS_EVENT_LOG_WRITER_H

#include "base/bytes.h"
#include "crypto/digest.h"
#include "eventlog/eventlog.h"

#include <assert.h>
#include <string.h>

static inline void writer_put(struct buffer *b, const void *p, size_t n)
{
    int r = buffer_append(b, p, n);
    assert(r == 0);
    (void)r;
}

static inline void writer_le16(struct buffer *b, uint16_t v)
{
    uint8_t p[2];
    put_le16(p, v);
    writer_put(b, p, sizeof(p));
}

static inline void writer_le32(struct buffer *b, uint32_t v)
{
    uint8_t p[4];
    put_le32(p, v);
    writer_put(b, p, sizeof(p));
}

static inline void writer_begin_algs(struct buffer *b, const enum hash_alg *algs, uint32_t count)
{
    static const uint8_t zeros[20] = {0};
    writer_le32(b, 0);
    writer_le32(b, EV_NO_ACTION);
    writer_put(b, zeros, sizeof(zeros));
    writer_le32(b, 16 + 8 + 4 + 4 * count + 1);
    writer_put(b, "Spec ID Event03", 16);
    writer_put(b, "\0\0\0\0\0\2\0\2", 8);
    writer_le32(b, count);
    for (uint32_t i = 0; i < count; i++) {
        writer_le16(b, (uint16_t)algs[i]);
        writer_le16(b, (uint16_t)hash_size(algs[i]));
    }
    writer_put(b, zeros, 1);
}

/* The usual one: a single SHA-256 bank. */
static inline void writer_begin(struct buffer *b)
{
    static const enum hash_alg algs[] = {HASH_SHA256};
    writer_begin_algs(b, algs, 1);
}

/* One record of a log with a single bank. */
static inline void writer_add_in(struct buffer *b, enum hash_alg alg, uint32_t index, uint32_t type,
                                 const uint8_t *digest, struct bytes data)
{
    writer_le32(b, index);
    writer_le32(b, type);
    writer_le32(b, 1);
    writer_le16(b, (uint16_t)alg);
    writer_put(b, digest, hash_size(alg));
    writer_le32(b, (uint32_t)data.size);
    writer_put(b, data.data, data.size);
}

/* The same with the SHA-256 bank. */
static inline void writer_add(struct buffer *b, uint32_t index, uint32_t type,
                              const uint8_t digest[32], struct bytes data)
{
    writer_add_in(b, HASH_SHA256, index, type, digest, data);
}

/* The digest is that of `measured`; the data is what the record says about it. */
static inline void writer_measure(struct buffer *b, enum hash_alg alg, uint32_t index,
                                  uint32_t type, struct bytes measured, struct bytes data)
{
    struct digest d;
    int r = digest_compute(&d, alg, measured);
    assert(r == 0);
    (void)r;
    writer_add_in(b, alg, index, type, d.bytes, data);
}

#endif
