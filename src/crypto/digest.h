/* Message digests. */
#ifndef ENCROOT_CRYPTO_DIGEST_H
#define ENCROOT_CRYPTO_DIGEST_H

#include "base/bytes.h"
#include "base/error.h"

/* Values are TPM_ALG_ID (TCG Algorithm Registry), as event logs use them. */
enum hash_alg {
    HASH_NONE = 0,
    HASH_SHA1 = 0x0004, /* known for its size only; never appraised */
    HASH_SHA256 = 0x000b,
    HASH_SHA384 = 0x000c,
    HASH_SHA512 = 0x000d,
    HASH_SM3 = 0x0012,
};

#define DIGEST_MAX 64

struct digest {
    enum hash_alg alg;
    size_t size;
    uint8_t bytes[DIGEST_MAX];
};

/* Bytes of the algorithm's digest, 0 if unknown. */
size_t hash_size(enum hash_alg alg);
/* "sha-256" and the like (the spelling of hash.json and CCA tokens); NULL if unknown. */
const char *hash_name(enum hash_alg alg);
/* HASH_NONE if unknown. Accepts "sha-256" and "sha256". */
enum hash_alg hash_by_name(const char *name);

int digest_compute(struct digest *ret, enum hash_alg alg, struct bytes in) _must_use_;
/* SHA-256, as bare bytes. -EIO. */
int digest_sha256(struct bytes in, uint8_t ret[32], struct error *err) _must_use_;

/* In parts. Any failure is remembered and returned by digest_finish, which also frees. */
struct digest_stream;
struct digest_stream *digest_begin(enum hash_alg alg);
void digest_update(struct digest_stream *s, const void *p, size_t n);
int digest_finish(struct digest_stream *s, struct digest *ret) _must_use_; /* s may be NULL */
void digest_abort(struct digest_stream *s);                                /* s may be NULL */

/* register = H(register ‖ digest), the extend of a PCR or REM (TCG, CCA). */
int digest_extend(struct digest *reg, struct bytes digest) _must_use_;

static inline struct bytes digest_bytes(const struct digest *d)
{
    return BYTES(d->bytes, d->size);
}
bool digest_equal(const struct digest *a, const struct digest *b);

#define DIGEST_HEX_SIZE (2 * DIGEST_MAX + 1)
void digest_hex(const struct digest *d, char out[DIGEST_HEX_SIZE]);

#endif
