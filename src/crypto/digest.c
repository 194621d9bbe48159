#include "crypto/digest.h"
#include "base/hex.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <string.h>

static const struct {
    enum hash_alg alg;
    size_t size;
    const char *name;  /* CCA tokens, hash.json */
    const char *plain; /* OpenSSL */
} algorithms[] = {
    {HASH_SHA1, 20, "sha-1", "sha1"},       {HASH_SHA256, 32, "sha-256", "sha256"},
    {HASH_SHA384, 48, "sha-384", "sha384"}, {HASH_SHA512, 64, "sha-512", "sha512"},
    {HASH_SM3, 32, "sm3", "sm3"},
};

struct digest_stream {
    EVP_MD_CTX *ctx;
    enum hash_alg alg;
    bool failed;
};

size_t hash_size(enum hash_alg alg)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (algorithms[i].alg == alg)
            return algorithms[i].size;
    return 0;
}

const char *hash_name(enum hash_alg alg)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (algorithms[i].alg == alg)
            return algorithms[i].name;
    return NULL;
}

enum hash_alg hash_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (strcmp(algorithms[i].name, name) == 0 || strcmp(algorithms[i].plain, name) == 0)
            return algorithms[i].alg;
    return HASH_NONE;
}

/* Fetched once, kept for good: OpenSSL's search for one costs more than hashing a kilobyte. NULL:
 * there is none. */
static const EVP_MD *evp(enum hash_alg alg)
{
    static EVP_MD *_Atomic fetched[ARRAY_SIZE(algorithms)];
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++) {
        if (algorithms[i].alg != alg)
            continue;
        EVP_MD *md = fetched[i], *none = NULL;
        if (md || !(md = EVP_MD_fetch(NULL, algorithms[i].plain, NULL)))
            return md;
        if (atomic_compare_exchange_strong(&fetched[i], &none, md))
            return md;
        EVP_MD_free(md); /* another thread was faster */
        return none;
    }
    return NULL;
}

struct digest_stream *digest_begin(enum hash_alg alg)
{
    struct digest_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->alg = alg;
    s->ctx = EVP_MD_CTX_new();
    const EVP_MD *md = evp(alg);
    s->failed = !s->ctx || !md || EVP_DigestInit_ex(s->ctx, md, NULL) != 1;
    return s;
}

void digest_update(struct digest_stream *s, const void *p, size_t n)
{
    if (s && !s->failed && n > 0)
        s->failed = EVP_DigestUpdate(s->ctx, p, n) != 1;
}

int digest_finish(struct digest_stream *s, struct digest *ret)
{
    struct digest d = {.alg = s ? s->alg : HASH_NONE};
    unsigned size = 0;
    bool ok = s && !s->failed && EVP_DigestFinal_ex(s->ctx, d.bytes, &size) == 1;
    digest_abort(s);
    if (!ok)
        return -EIO;
    d.size = size;
    *ret = d;
    return 0;
}

void digest_abort(struct digest_stream *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

int digest_compute(struct digest *ret, enum hash_alg alg, struct bytes in)
{
    struct digest_stream *s = digest_begin(alg);
    digest_update(s, in.data, in.size);
    return digest_finish(s, ret);
}

int digest_sha256(struct bytes in, uint8_t ret[32], struct error *err)
{
    struct digest d;
    if (digest_compute(&d, HASH_SHA256, in) < 0)
        return error_set(err, EIO, "SHA-256 failed");
    memcpy(ret, d.bytes, 32);
    return 0;
}

int digest_extend(struct digest *reg, struct bytes digest)
{
    struct digest_stream *s = digest_begin(reg->alg);
    digest_update(s, reg->bytes, reg->size);
    digest_update(s, digest.data, digest.size);
    return digest_finish(s, reg);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return a->alg == b->alg && bytes_equal_ct(digest_bytes(a), digest_bytes(b));
}

void digest_hex(const struct digest *d, char out[DIGEST_HEX_SIZE])
{
    hex_encode(digest_bytes(d), out);
}
