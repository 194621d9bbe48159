#include "crypto/chain_cache.h"
#include "crypto/digest.h"

#include <pthread.h>
#include <string.h>

/* About as many machines as one broker meets in a day; 200 KiB, touched as they come. */
#define SLOTS 4096

struct slot {
    uint8_t key[CHAIN_KEY_SIZE];
    struct validity valid; /* of an empty one: never */
};

struct chain_cache {
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
};

struct chain_cache *chain_cache_new(void)
{
    struct chain_cache *c = calloc(1, sizeof(*c));
    if (c)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

void chain_cache_free(struct chain_cache *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int chain_cache_key(uint8_t ret[CHAIN_KEY_SIZE], const X509 *leaf, const struct chain_rules *rules)
{
    /* Of a fixed length: the certificate's own hash, then the rules. */
    uint8_t text[32 + 2] = {[32] = rules->dates, [33] = rules->revocation_required};
    struct digest d;
    int r = certificate_sha256(leaf, text);
    if (r == 0)
        r = digest_compute(&d, HASH_SHA256, BYTES_OF(text));
    if (r == 0)
        memcpy(ret, d.bytes, CHAIN_KEY_SIZE);
    return r;
}

/* A hash is spread evenly: its first bytes are as good an index as any. */
static struct slot *slot_of(struct chain_cache *c, const uint8_t key[CHAIN_KEY_SIZE])
{
    return &c->slots[(key[0] | (size_t)key[1] << 8) % SLOTS];
}

bool chain_cache_has(struct chain_cache *c, const uint8_t key[CHAIN_KEY_SIZE], time_t now)
{
    pthread_mutex_lock(&c->lock);
    const struct slot *s = slot_of(c, key);
    bool has =
        memcmp(s->key, key, CHAIN_KEY_SIZE) == 0 && s->valid.from <= now && now < s->valid.until;
    pthread_mutex_unlock(&c->lock);
    return has;
}

void chain_cache_add(struct chain_cache *c, const uint8_t key[CHAIN_KEY_SIZE],
                     const struct validity *v)
{
    pthread_mutex_lock(&c->lock);
    struct slot *s = slot_of(c, key);
    memcpy(s->key, key, CHAIN_KEY_SIZE);
    s->valid = *v;
    pthread_mutex_unlock(&c->lock);
}

void chain_cache_clear(struct chain_cache *c)
{
    pthread_mutex_lock(&c->lock);
    memset(c->slots, 0, sizeof(c->slots));
    pthread_mutex_unlock(&c->lock);
}
