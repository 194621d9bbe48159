#include "crypto/leaf_cache.h"
#include "crypto/digest.h"

#include <pthread.h>
#include <string.h>

#define SLOTS 1024 /* of some 10 KiB each, once they are taken */

struct slot {
    struct digest key; /* SHA-256 of the file; size 0: empty */
    X509 *certificate;
};

struct leaf_cache {
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
};

struct leaf_cache *leaf_cache_new(void)
{
    struct leaf_cache *c = calloc(1, sizeof(*c));
    if (c)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

void leaf_cache_free(struct leaf_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        X509_free(c->slots[i].certificate);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* A hash is spread evenly: its first bytes are as good an index as any. */
static struct slot *slot_of(struct leaf_cache *c, const struct digest *key)
{
    return &c->slots[(key->bytes[0] | (size_t)key->bytes[1] << 8) % SLOTS];
}

X509 *leaf_cache_get(struct leaf_cache *c, struct bytes file)
{
    struct digest key;
    X509 *found = NULL;
    if (digest_compute(&key, HASH_SHA256, file) < 0)
        return NULL;
    pthread_mutex_lock(&c->lock);
    const struct slot *s = slot_of(c, &key);
    if (s->key.size > 0 && digest_equal(&s->key, &key) && X509_up_ref(s->certificate) == 1)
        found = s->certificate;
    pthread_mutex_unlock(&c->lock);
    return found;
}

void leaf_cache_put(struct leaf_cache *c, struct bytes file, X509 *certificate)
{
    struct digest key;
    if (digest_compute(&key, HASH_SHA256, file) < 0 || X509_up_ref(certificate) != 1)
        return;
    pthread_mutex_lock(&c->lock);
    struct slot *s = slot_of(c, &key);
    X509 *old = s->certificate;
    *s = (struct slot){.key = key, .certificate = certificate};
    pthread_mutex_unlock(&c->lock);
    X509_free(old);
}
