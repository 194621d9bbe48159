#include "base/hex.h"
#include "vault/kek_internal.h"
#include "vault/seal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/random.h>

static const char magic[4] = {'E', 'K', 'W', '1'};
static const char domain[] = "encroot vault v1"; /* its NUL is part of it */
static const char id_label[] = "encroot kek id v1";
static const char seal_label[] = "encroot seal key v1";

#define AT_ID sizeof(magic)
#define AT_NONCE (AT_ID + KEK_ID_SIZE)
#define AT_SEALED (AT_NONCE + KEK_NONCE_SIZE)
#define AAD_SIZE (sizeof(domain) + KEK_ID_SIZE + 16)

static const struct kek_source *const sources[] = {&kek_source_file, &kek_source_credential,
                                                   &kek_source_pkcs11};

/* ---- one key ---- */
static int hmac(uint8_t ret[32], struct bytes key, const char *label, struct error *err)
{
    const uint8_t *in = (const uint8_t *)label;
    return HMAC(EVP_sha256(), key.data, (int)key.size, in, strlen(label), ret, NULL)
               ? 0
               : error_set(err, EIO, "HMAC-SHA-256 failed");
}

int kek_identify(uint8_t ret[KEK_ID_SIZE], struct secret *seal, kek_crypt *crypt, void *arg,
                 struct error *err)
{
    static const uint8_t nonce[KEK_NONCE_SIZE], block[16];
    uint8_t out[16 + KEK_TAG_SIZE], mac[32];
    const struct kek_job job = {.seal = true,
                                .nonce = nonce,
                                .aad = BYTES_STR(id_label),
                                .in = BYTES_OF(block),
                                .out = out};
    int r = crypt(arg, &job, err);
    if (r == 0)
        r = hmac(mac, BYTES_OF(out), id_label, err);
    if (r == 0)
        memcpy(ret, mac, KEK_ID_SIZE);
    if (r == 0 && seal)
        r = hmac(secret_data(seal), BYTES_OF(out), seal_label, err);
    wipe(out, sizeof(out));
    wipe(mac, sizeof(mac));
    return r;
}

static int crypt_by_source(void *arg, const struct kek_job *job, struct error *err)
{
    struct kek *k = arg;
    return k->source->crypt(k, job, err);
}

static const struct kek_source *find_source(const char *url)
{
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        if (strncmp(url, sources[i]->scheme, strlen(sources[i]->scheme)) == 0)
            return sources[i];
    return NULL;
}

static int open_key(struct kek *k, const char *url, struct error *err)
{
    k->url = strdup(url);
    k->name = strndup(url, strcspn(url, "?"));
    k->seal = secret_new(SEAL_KEY_SIZE);
    if (!k->url || !k->name || !k->seal)
        return error_set(err, ENOMEM, "out of memory");
    int r = k->source->open(k, url + strlen(k->source->scheme), err);
    if (r == 0)
        r = kek_identify(k->id, k->seal, crypt_by_source, k, err);
    return r < 0 ? error_prefix(err, r, "%s", k->name) : 0;
}

int kek_open(struct kek **ret, const char *url, struct error *err)
{
    const struct kek_source *source = find_source(url);
    if (!source)
        return error_hint(
            err,
            error_set(err, EINVAL, "%.*s: expected the URL of a key", (int)strcspn(url, "?"), url),
            "file:PATH, credential:NAME or pkcs11:token=...;object=...");
    struct kek *k = calloc(1, sizeof(*k));
    if (!k)
        return error_set(err, ENOMEM, "out of memory");
    k->source = source;
    int r = open_key(k, url, err);
    if (r < 0) {
        kek_close(k);
        return r;
    }
    *ret = k;
    return 0;
}

void kek_close(struct kek *k)
{
    if (!k)
        return;
    k->source->close(k);
    secret_free(k->seal);
    free(k->name);
    free(k->url);
    free(k);
}

const uint8_t *kek_id(const struct kek *k)
{
    return k->id;
}

/* ---- a ring of them ---- */
void kek_ring_close(struct kek_ring *r)
{
    for (size_t i = 0; i < r->count; i++)
        kek_close(r->keys[i]);
    *r = (struct kek_ring){0};
}

static void make_aad(uint8_t ret[AAD_SIZE], const uint8_t id[KEK_ID_SIZE], const uint8_t volume[16])
{
    memcpy(ret, domain, sizeof(domain));
    memcpy(ret + sizeof(domain), id, KEK_ID_SIZE);
    memcpy(ret + sizeof(domain) + KEK_ID_SIZE, volume, 16);
}

int kek_wrap(const struct kek_ring *ring, const uint8_t volume[16], const struct secret *s,
             struct buffer *ret, struct error *err)
{
    uint8_t out[KEK_WRAPPED_MAX], aad[AAD_SIZE];
    size_t size = KEK_WRAPPED_SIZE(secret_size(s));
    if (ring->count == 0)
        return error_set(err, ENOKEY, "there is no key to wrap with");
    if (size > sizeof(out))
        return error_set(err, EINVAL, "a secret of %zu bytes: too long to be wrapped",
                         secret_size(s));
    struct kek *k = ring->keys[0];
    memcpy(out, magic, sizeof(magic));
    memcpy(out + AT_ID, k->id, KEK_ID_SIZE);
    if (getrandom(out + AT_NONCE, KEK_NONCE_SIZE, 0) != KEK_NONCE_SIZE)
        return error_set(err, EIO, "no random numbers");
    make_aad(aad, k->id, volume);
    const struct kek_job job = {.seal = true,
                                .nonce = out + AT_NONCE,
                                .aad = BYTES_OF(aad),
                                .in = secret_bytes(s),
                                .out = out + AT_SEALED};
    int r = k->source->crypt(k, &job, err);
    if (r < 0)
        return error_prefix(err, r, "%s: wrapping a secret", k->name);
    return buffer_append(ret, out, size) < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

/* NULL: under none of the ring's. */
static struct kek *key_of(const struct kek_ring *ring, struct bytes wrapped)
{
    for (size_t i = 0; i < ring->count; i++)
        if (memcmp(ring->keys[i]->id, wrapped.data + AT_ID, KEK_ID_SIZE) == 0)
            return ring->keys[i];
    return NULL;
}

static bool has_form(struct bytes wrapped)
{
    return wrapped.size > KEK_WRAPPED_SIZE(0) && wrapped.size <= KEK_WRAPPED_MAX &&
           memcmp(wrapped.data, magic, sizeof(magic)) == 0;
}

int kek_unknown(const uint8_t id[KEK_ID_SIZE], const char *what, struct error *err)
{
    char hex[2 * KEK_ID_SIZE + 1];
    hex_encode(BYTES(id, KEK_ID_SIZE), hex);
    return error_hint(
        err, error_set(err, ENOKEY, "%s under a key with the id %s, which is not here", what, hex),
        "name it as kek-old until everything is rewrapped");
}

int kek_unwrap(const struct kek_ring *ring, const uint8_t volume[16], struct bytes wrapped,
               struct secret **ret, struct error *err)
{
    uint8_t aad[AAD_SIZE];
    if (!has_form(wrapped))
        return error_set(err, EBADMSG, "not a wrapped secret, or a damaged one");
    struct kek *k = key_of(ring, wrapped);
    if (!k)
        return kek_unknown(wrapped.data + AT_ID, "wrapped", err);
    _secret_ struct secret *s = secret_new(wrapped.size - KEK_WRAPPED_SIZE(0));
    if (!s)
        return error_set(err, ENOMEM, "cannot lock memory for a secret");
    make_aad(aad, k->id, volume);
    const struct kek_job job = {.nonce = wrapped.data + AT_NONCE,
                                .aad = BYTES_OF(aad),
                                .in = BYTES(wrapped.data + AT_SEALED, wrapped.size - AT_SEALED),
                                .out = secret_data(s)};
    int r = k->source->crypt(k, &job, err);
    if (r < 0)
        return error_prefix(err, r, "%s: unwrapping a secret", k->name);
    *ret = TAKE_PTR(s);
    return 0;
}

bool kek_is_current(const struct kek_ring *ring, struct bytes wrapped)
{
    return has_form(wrapped) && ring->count > 0 && key_of(ring, wrapped) == ring->keys[0];
}
