#include "crypto/remote_key.h"
#include "crypto/openssl_error.h"
#include "crypto/public_key.h"
#include "crypto/remote_provider.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>

struct remote_key {
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *provider;
    EVP_PKEY *key;
};

static bool make_key(struct remote_key *k, char *group, struct buffer *point,
                     const struct remote_signer *signer)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point->data, point->size),
        OSSL_PARAM_construct_octet_string(REMOTE_PARAM_SIGNER, (void *)signer, sizeof(*signer)),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(k->context, "EC", NULL);
    bool ok = ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &k->key, EVP_PKEY_PUBLIC_KEY, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

int remote_key_new(struct remote_key **ret, const EVP_PKEY *public,
                   const struct remote_signer *signer, struct error *err)
{
    char group[PUBLIC_KEY_GROUP_MAX], found[PUBLIC_KEY_GROUP_MAX];
    _buffer_ struct buffer point = {0};
    public_key_describe(public, found);
    if (!public_key_group(public, group))
        return error_set(err, ENOTSUP, "a key of %s: expected ECDSA on P-256 or P-384", found);
    int r = public_key_to_point(public, &point, err);
    if (r < 0)
        return r;
    struct remote_key *k = calloc(1, sizeof(*k));
    if (!k)
        return error_set(err, ENOMEM, "out of memory");
    k->context = OSSL_LIB_CTX_new();
    if (k->context &&
        OSSL_PROVIDER_add_builtin(k->context, REMOTE_PROVIDER, remote_provider_init) == 1)
        k->provider = OSSL_PROVIDER_load(k->context, REMOTE_PROVIDER);
    if (!k->provider || !make_key(k, group, &point, signer)) {
        remote_key_free(k);
        return openssl_error(err, ENOTSUP, "a key of %s that is elsewhere", found);
    }
    *ret = k;
    return 0;
}

EVP_PKEY *remote_key_pkey(const struct remote_key *k)
{
    return k->key;
}

void remote_key_free(struct remote_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->key);
    if (k->provider)
        OSSL_PROVIDER_unload(k->provider);
    OSSL_LIB_CTX_free(k->context);
    free(k);
}
