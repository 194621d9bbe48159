#include "vault/seal.h"
#include "vault/kek_internal.h"

#include <openssl/hmac.h>
#include <string.h>

static const char domain[] = "encroot seal v1"; /* its NUL is part of it */

#define ENTRY_SIZE (KEK_ID_SIZE + SEAL_KEY_SIZE)
#define WHAT_MAX 1024

struct secret *seal_keys(const struct kek_ring *ring)
{
    struct secret *keys = secret_new(ring->count * ENTRY_SIZE);
    for (size_t i = 0; keys && i < ring->count; i++) {
        uint8_t *entry = secret_data(keys) + i * ENTRY_SIZE;
        memcpy(entry, ring->keys[i]->id, KEK_ID_SIZE);
        memcpy(entry + KEK_ID_SIZE, secret_data(ring->keys[i]->seal), SEAL_KEY_SIZE);
    }
    return keys;
}

int seal_keys_check(const struct secret *keys, struct error *err)
{
    size_t n = secret_size(keys);
    return n > 0 && n % ENTRY_SIZE == 0
               ? 0
               : error_set(err, EINVAL, "seal keys of %zu bytes: expected %d for each", n,
                           ENTRY_SIZE);
}

static int authenticate(uint8_t ret[SEAL_SIZE - KEK_ID_SIZE], const uint8_t key[SEAL_KEY_SIZE],
                        struct bytes what, struct error *err)
{
    uint8_t in[sizeof(domain) + WHAT_MAX];
    if (what.size > WHAT_MAX)
        return error_set(err, EINVAL, "%zu bytes to seal: at most %d", what.size, WHAT_MAX);
    memcpy(in, domain, sizeof(domain));
    memcpy(in + sizeof(domain), what.data, what.size);
    if (!HMAC(EVP_sha256(), key, SEAL_KEY_SIZE, in, sizeof(domain) + what.size, ret, NULL))
        return error_set(err, EIO, "HMAC-SHA-256 failed");
    return 0;
}

int seal_make(uint8_t ret[SEAL_SIZE], const struct secret *keys, struct bytes what,
              struct error *err)
{
    const uint8_t *entry = secret_bytes(keys).data;
    if (secret_size(keys) < ENTRY_SIZE)
        return error_set(err, ENOKEY, "there is no key to seal with");
    memcpy(ret, entry, KEK_ID_SIZE);
    return authenticate(ret + KEK_ID_SIZE, entry + KEK_ID_SIZE, what, err);
}

static const uint8_t *key_of(const uint8_t seal[SEAL_SIZE], const struct secret *keys)
{
    const uint8_t *entry = secret_bytes(keys).data;
    for (size_t at = 0; at + ENTRY_SIZE <= secret_size(keys); at += ENTRY_SIZE)
        if (memcmp(seal, entry + at, KEK_ID_SIZE) == 0)
            return entry + at + KEK_ID_SIZE;
    return NULL;
}

int seal_check(const uint8_t seal[SEAL_SIZE], const struct secret *keys, struct bytes what,
               struct error *err)
{
    uint8_t mac[SEAL_SIZE - KEK_ID_SIZE];
    const uint8_t *key = key_of(seal, keys);
    if (bytes_are_zero(seal, SEAL_SIZE))
        return error_set(err, EBADMSG, "there is no seal");
    if (!key)
        return kek_unknown(seal, "sealed", err);
    int r = authenticate(mac, key, what, err);
    if (r == 0 && !bytes_equal_ct(BYTES_OF(mac), BYTES(seal + KEK_ID_SIZE, sizeof(mac))))
        r = error_set(err, EBADMSG, "the seal is none of this");
    return r;
}

bool seal_is_current(const uint8_t seal[SEAL_SIZE], const struct secret *keys)
{
    return secret_size(keys) >= ENTRY_SIZE &&
           memcmp(seal, secret_bytes(keys).data, KEK_ID_SIZE) == 0;
}
