#include "crypto/remote_provider.h"
#include "crypto/public_key.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

/* RFC 8446, 4.2.3: a curve goes with one digest. `signature`: DER at its largest. */
static const struct curve {
    const char *group, *digest, *digest_too;
    size_t point, signature;
    int bits, security_bits;
} curves[] = {
    {"prime256v1", "SHA256", "SHA2-256", 65, 72, 256, 128},
    {"secp384r1", "SHA384", "SHA2-384", 97, 104, 384, 192},
};

struct key {
    const struct curve *curve; /* NULL: nothing is there yet */
    uint8_t point[EC_POINT_MAX];
    struct remote_signer signer; /* zero: a mere public key, made to be compared */
};

/* ---- key management ---- */
static void *key_new(void *provider)
{
    (void)provider;
    return calloc(1, sizeof(struct key));
}

static void key_free(void *data)
{
    free(data);
}

/* As far as TLS is concerned the private key is here. */
static int key_has(const void *data, int selection)
{
    const struct key *k = data;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && !k->signer.sign)
        return 0;
    return k->curve != NULL;
}

static int key_match(const void *a, const void *b, int selection)
{
    const struct key *x = a, *y = b;
    (void)selection; /* the point is of one length on one curve */
    return x->curve && x->curve == y->curve && memcmp(x->point, y->point, x->curve->point) == 0;
}

static const OSSL_PARAM types[] = {
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_octet_string(REMOTE_PARAM_SIGNER, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *key_types(int selection)
{
    (void)selection;
    return types;
}

static int key_import(void *data, int selection, const OSSL_PARAM params[])
{
    struct key *k = data, new = {0};
    const OSSL_PARAM *group = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
    const OSSL_PARAM *point = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
    const OSSL_PARAM *signer = OSSL_PARAM_locate_const(params, REMOTE_PARAM_SIGNER);
    const char *name;
    const void *p;
    size_t n;
    (void)selection;
    if (!group || !point || OSSL_PARAM_get_utf8_string_ptr(group, &name) != 1 ||
        OSSL_PARAM_get_octet_string_ptr(point, &p, &n) != 1)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
        if (strcmp(name, curves[i].group) == 0 && n == curves[i].point)
            new.curve = &curves[i];
    if (!new.curve)
        return 0;
    memcpy(new.point, p, n);
    if (signer) {
        if (OSSL_PARAM_get_octet_string_ptr(signer, &p, &n) != 1 || n != sizeof(new.signer))
            return 0;
        memcpy(&new.signer, p, n);
    }
    *k = new;
    return 1;
}

/*
 * Never whole: OpenSSL exports a key in order to use it with another provider's algorithms, which
 * could do nothing with this one.
 */
static int key_export(void *data, int selection, OSSL_CALLBACK *callback, void *arg)
{
    struct key *k = data;
    if (!k->curve || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY))
        return 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)k->curve->group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, k->point, k->curve->point),
        OSSL_PARAM_construct_end(),
    };
    return callback(params, arg);
}

static int set_int(OSSL_PARAM params[], const char *name, int value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);
    return !p || OSSL_PARAM_set_int(p, value);
}

static int set_text(OSSL_PARAM params[], const char *name, const char *value)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, name);
    return !p || OSSL_PARAM_set_utf8_string(p, value);
}

static int key_get_params(void *data, OSSL_PARAM params[])
{
    const struct key *k = data;
    const struct curve *c = k->curve;
    if (!c)
        return 0;
    OSSL_PARAM *point = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PUB_KEY);
    OSSL_PARAM *encoded = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);
    return set_int(params, OSSL_PKEY_PARAM_BITS, c->bits) &&
           set_int(params, OSSL_PKEY_PARAM_SECURITY_BITS, c->security_bits) &&
           set_int(params, OSSL_PKEY_PARAM_MAX_SIZE, (int)c->signature) &&
           set_text(params, OSSL_PKEY_PARAM_GROUP_NAME, c->group) &&
           set_text(params, OSSL_PKEY_PARAM_EC_ENCODING, OSSL_PKEY_EC_ENCODING_GROUP) &&
           set_text(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST, c->digest) &&
           (!point || OSSL_PARAM_set_octet_string(point, k->point, c->point)) &&
           (!encoded || OSSL_PARAM_set_octet_string(encoded, k->point, c->point));
}

static const OSSL_PARAM *key_gettable(void *provider)
{
    static const OSSL_PARAM list[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)provider;
    return list;
}

static const char *key_operation(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define FN(id, f)                                                                                  \
    {                                                                                              \
        id, (void (*)(void))(f)                                                                    \
    }

static const OSSL_DISPATCH key_functions[] = {
    FN(OSSL_FUNC_KEYMGMT_NEW, key_new),
    FN(OSSL_FUNC_KEYMGMT_FREE, key_free),
    FN(OSSL_FUNC_KEYMGMT_HAS, key_has),
    FN(OSSL_FUNC_KEYMGMT_MATCH, key_match),
    FN(OSSL_FUNC_KEYMGMT_IMPORT, key_import),
    FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_types),
    FN(OSSL_FUNC_KEYMGMT_EXPORT, key_export),
    FN(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_types),
    FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),
    FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),
    FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, key_operation),
    {0, NULL},
};

/* ---- signature: digest_sign in one call and nothing else ---- */
struct signature {
    const struct key *key;
};

static void *signature_new(void *provider, const char *properties)
{
    (void)provider, (void)properties;
    return calloc(1, sizeof(struct signature));
}

static void signature_free(void *ctx)
{
    free(ctx);
}

static int digest_sign_init(void *ctx, const char *digest, void *data, const OSSL_PARAM params[])
{
    struct signature *s = ctx;
    const struct key *k = data;
    (void)params;
    if (!k || !k->curve || !k->signer.sign || !digest ||
        (strcasecmp(digest, k->curve->digest) != 0 &&
         strcasecmp(digest, k->curve->digest_too) != 0))
        return 0;
    s->key = k;
    return 1;
}

static int digest_sign(void *ctx, unsigned char *ret, size_t *ret_size, size_t room,
                       const unsigned char *message, size_t size)
{
    const struct signature *s = ctx;
    if (!s->key)
        return 0;
    size_t max = s->key->curve->signature;
    if (!ret) {
        *ret_size = max;
        return 1;
    }
    _buffer_ struct buffer der = {.max = max};
    if (s->key->signer.sign(s->key->signer.arg, BYTES(message, size), &der) < 0 || der.size == 0 ||
        der.size > room)
        return 0;
    memcpy(ret, der.data, der.size);
    *ret_size = der.size;
    return 1;
}

static const OSSL_DISPATCH signature_functions[] = {
    FN(OSSL_FUNC_SIGNATURE_NEWCTX, signature_new),
    FN(OSSL_FUNC_SIGNATURE_FREECTX, signature_free),
    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, digest_sign_init),
    FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, digest_sign),
    {0, NULL},
};

/* ---- the provider ---- */
static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
    static const OSSL_ALGORITHM keys[] = {
        {"EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=" REMOTE_PROVIDER, key_functions, NULL},
        {0},
    };
    static const OSSL_ALGORITHM signatures[] = {
        {"ECDSA", "provider=" REMOTE_PROVIDER, signature_functions, NULL},
        {0},
    };
    (void)provider;
    *no_cache = 0;
    if (operation == OSSL_OP_KEYMGMT)
        return keys;
    return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

int remote_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                         const OSSL_DISPATCH **ret, void **ret_provider)
{
    static const OSSL_DISPATCH functions[] = {
        FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
        {0, NULL},
    };
    static int nothing;
    (void)handle, (void)in;
    *ret = functions;
    *ret_provider = &nothing;
    return 1;
}
