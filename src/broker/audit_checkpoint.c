#include "broker/audit_checkpoint.h"
#include "base/hex.h"
#include "base/utc.h"
#include "crypto/base64.h"
#include "crypto/openssl_error.h"
#include "crypto/public_key.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>

static const char domain[] = "encroot audit checkpoint v1"; /* its NUL is part of it */
_Static_assert(sizeof(domain) + 8 + AUDIT_HASH_SIZE + 8 == AUDIT_CHECKPOINT_SIGNED_SIZE,
               "AUDIT_CHECKPOINT_SIGNED_SIZE");

static void cleanup_md_ctx(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}
#define _md_ctx_ _cleanup_(cleanup_md_ctx)

/* ---- the signature ---- */
void audit_checkpoint_signed(const struct audit_state *s, time_t time,
                             uint8_t ret[AUDIT_CHECKPOINT_SIGNED_SIZE])
{
    memcpy(ret, domain, sizeof(domain));
    put_be64(ret + sizeof(domain), s->sequence);
    memcpy(ret + sizeof(domain) + 8, s->hash, AUDIT_HASH_SIZE);
    put_be64(ret + sizeof(domain) + 8 + AUDIT_HASH_SIZE, (uint64_t)time);
}

/* NULL: a key that signs no checkpoints. */
static const EVP_MD *digest_of(const EVP_PKEY *key)
{
    static const struct {
        const char *group;
        const EVP_MD *(*md)(void);
    } table[] = {{"prime256v1", EVP_sha256}, {"secp384r1", EVP_sha384}, {"secp521r1", EVP_sha512}};
    char group[PUBLIC_KEY_GROUP_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (public_key_group(key, group) && strcmp(group, table[i].group) == 0)
            return table[i].md();
    return NULL;
}

static int wrong_kind(const EVP_PKEY *key, struct error *err)
{
    char kind[PUBLIC_KEY_GROUP_MAX];
    public_key_describe(key, kind);
    return error_set(err, ENOTSUP, "a key of the kind %s signs no checkpoints, P-256 does", kind);
}

int audit_checkpoint_sign(EVP_PKEY *key, const struct audit_state *s, time_t time,
                          struct buffer *ret, struct error *err)
{
    uint8_t text[AUDIT_CHECKPOINT_SIGNED_SIZE], out[AUDIT_CHECKPOINT_SIGNATURE_MAX];
    size_t size = sizeof(out);
    const EVP_MD *md = digest_of(key);
    if (!md)
        return wrong_kind(key, err);
    audit_checkpoint_signed(s, time, text);
    _md_ctx_ EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestSignInit(ctx, NULL, md, NULL, key) != 1 ||
        EVP_DigestSign(ctx, out, &size, text, sizeof(text)) != 1)
        return openssl_error(err, EIO, "signing a checkpoint");
    return buffer_append(ret, out, size) < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

int audit_checkpoint_verify(const struct audit_checkpoint *c, EVP_PKEY *key, const char *name,
                            struct error *err)
{
    uint8_t text[AUDIT_CHECKPOINT_SIGNED_SIZE];
    const EVP_MD *md = digest_of(key);
    if (!md)
        return wrong_kind(key, err);
    audit_checkpoint_signed(&c->state, c->time, text);
    _md_ctx_ EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) != 1)
        return openssl_error(err, EIO, "%s: preparing to verify", name);
    if (EVP_DigestVerify(ctx, c->signature, c->signature_size, text, sizeof(text)) != 1) {
        ERR_clear_error();
        return error_set(err, EKEYREJECTED,
                         "%s: the signature is not that of the broker's key, or the checkpoint was "
                         "changed",
                         name);
    }
    return 0;
}

/* ---- the file ---- */
int audit_checkpoint_format(const struct audit_checkpoint *c, struct buffer *ret, struct error *err)
{
    char hash[2 * AUDIT_HASH_SIZE + 1], time[UTC_TEXT_SIZE];
    _buffer_ struct buffer signature = {0};
    if (utc_format(c->time, time) < 0 || c->state.sequence > INT64_MAX)
        return error_set(err, EINVAL, "a checkpoint of a time or number that has no text");
    hex_encode(BYTES_OF(c->state.hash), hash);
    if (base64_encode(BYTES(c->signature, c->signature_size), &signature) < 0)
        return error_set(err, ENOMEM, "out of memory");
    _json_ json_t *o =
        json_pack("{s:i, s:o*, s:I, s:s, s:s, s:s%}", "version", 1, "broker", plain_json(c->broker),
                  "sequence", (json_int_t)c->state.sequence, "hash", hash, "time", time,
                  "signature", (char *)signature.data, signature.size);
    _free_ char *text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
    if (!text || buffer_printf(ret, "%s\n", text) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return 0;
}

static int read_signature(struct audit_checkpoint *c, const char *text, const char *name,
                          struct error *err)
{
    _buffer_ struct buffer der = {.max = AUDIT_CHECKPOINT_SIGNATURE_MAX};
    if (base64_decode(BYTES_STR(text), &der) < 0 || der.size == 0)
        return error_set(err, EINVAL, "%s: \"signature\" must be base64 of 1 to %d bytes", name,
                         AUDIT_CHECKPOINT_SIGNATURE_MAX);
    memcpy(c->signature, der.data, der.size);
    c->signature_size = der.size;
    return 0;
}

static int read_texts(struct audit_checkpoint *c, const json_t *o, const char *name,
                      struct error *err)
{
    const char *broker, *time, *signature;
    int r = json_get_string(o, "broker", &broker, name, err);
    if (r == 0)
        r = json_get_string(o, "time", &time, name, err);
    if (r == 0)
        r = json_get_string(o, "signature", &signature, name, err);
    if (r < 0)
        return r;
    if (broker[0] == '\0' || strlen(broker) >= sizeof(c->broker))
        return error_set(err, EINVAL, "%s: \"broker\" must be a name of less than %zu bytes", name,
                         sizeof(c->broker));
    memcpy(c->broker, broker, strlen(broker) + 1);
    if (utc_parse(time, &c->time) < 0)
        return error_set(err, EINVAL, "%s: \"time\" must be a time like 2026-01-31T23:59:59Z",
                         name);
    return read_signature(c, signature, name, err);
}

static int read_checkpoint(struct audit_checkpoint *c, json_t *o, const char *name,
                           struct error *err)
{
    static const char *const known[] = {"version", "broker",    "sequence", "hash",
                                        "time",    "signature", NULL};
    uint64_t version;
    if (!json_is_object(o))
        return error_set(err, EINVAL, "%s: a checkpoint must be an object", name);
    int r = json_only_keys(o, known, name, err);
    if (r == 0)
        r = json_get_uint(o, "version", INT64_MAX, &version, name, err);
    if (r == 0 && version != 1)
        r = error_set(err, EINVAL, "%s: \"version\" must be 1", name);
    if (r == 0)
        r = json_get_uint(o, "sequence", INT64_MAX, &c->state.sequence, name, err);
    if (r == 0)
        r = json_get_hex(o, "hash", c->state.hash, AUDIT_HASH_SIZE, name, err);
    return r < 0 ? r : read_texts(c, o, name, err);
}

int audit_checkpoint_parse(struct audit_checkpoint *ret, struct bytes text, const char *name,
                           struct error *err)
{
    struct audit_checkpoint c = {0};
    _json_ json_t *o = NULL;
    if (text.size > AUDIT_CHECKPOINT_MAX)
        return error_set(err, EINVAL, "%s: longer than the %zu bytes of the longest checkpoint",
                         name, AUDIT_CHECKPOINT_MAX);
    int r = json_parse(&o, text, name, err);
    if (r == 0)
        r = read_checkpoint(&c, o, name, err);
    if (r == 0)
        *ret = c;
    return r;
}
