#include "crypto/public_key.h"
#include "crypto/openssl_error.h"
#include "crypto/spki.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <string.h>

static const struct {
    const char *group; /* OpenSSL */
    const char *name;  /* FIPS 186 */
    size_t point;      /* bytes of 04 ‖ x ‖ y */
} curves[] = {
    {"prime256v1", "P-256", 65},
    {"secp384r1", "P-384", 97},
    {"secp521r1", "P-521", 133},
};

bool public_key_group(const EVP_PKEY *key, char ret[PUBLIC_KEY_GROUP_MAX])
{
    char encoding[32];
    size_t n;
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding,
                                          sizeof(encoding), &n) == 1 &&
           strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) == 0 &&
           EVP_PKEY_get_group_name(key, ret, PUBLIC_KEY_GROUP_MAX, &n) == 1;
}

void public_key_describe(const EVP_PKEY *key, char ret[PUBLIC_KEY_GROUP_MAX])
{
    char group[PUBLIC_KEY_GROUP_MAX];
    const char *type = EVP_PKEY_get0_type_name(key);
    snprintf(ret, PUBLIC_KEY_GROUP_MAX, "%.16s-%d", type ? type : "key", EVP_PKEY_get_bits(key));
    if (!public_key_group(key, group))
        return;
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
        if (strcmp(group, curves[i].group) == 0)
            snprintf(ret, PUBLIC_KEY_GROUP_MAX, "%s", curves[i].name);
}

static EVP_PKEY *make(const char *type, int selection, OSSL_PARAM params[])
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, selection, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* ---- RSA ---- */
static EVP_PKEY *make_rsa(const BIGNUM *n, const BIGNUM *e)
{
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    if (b && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(b);
    EVP_PKEY *key = params ? make("RSA", EVP_PKEY_PUBLIC_KEY, params) : NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(b);
    return key;
}

static int from_rsa(EVP_PKEY **ret, const struct spki *s, struct error *err)
{
    BIGNUM *n = BN_bin2bn(s->modulus.data, (int)s->modulus.size, NULL);
    BIGNUM *e = BN_bin2bn(s->exponent.data, (int)s->exponent.size, NULL);
    EVP_PKEY *key = n && e ? make_rsa(n, e) : NULL;
    BN_free(n);
    BN_free(e);
    if (!key)
        return openssl_error(err, EBADMSG, "not an RSA key");
    *ret = key;
    return 0;
}

/* ---- EC ---- */
/* A key that has its curve and no point yet. Made once: a curve is many numbers to work out. */
static EVP_PKEY *curve_key(size_t i)
{
    static EVP_PKEY *_Atomic made[ARRAY_SIZE(curves)];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curves[i].group, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = made[i], *none = NULL;
    if (key || !(key = make("EC", EVP_PKEY_KEY_PARAMETERS, params)))
        return key;
    if (atomic_compare_exchange_strong(&made[i], &none, key))
        return key;
    EVP_PKEY_free(key); /* another thread was faster */
    return none;
}

int public_key_from_point(EVP_PKEY **ret, struct bytes point, struct error *err)
{
    size_t i = 0;
    while (i < ARRAY_SIZE(curves) && curves[i].point != point.size)
        i++;
    if (i == ARRAY_SIZE(curves) || point.data[0] != 4)
        return error_set(err, EBADMSG,
                         "a public key of %zu bytes is no uncompressed point of P-256, P-384 or "
                         "P-521",
                         point.size);
    EVP_PKEY *empty = curve_key(i);
    _evp_pkey_ EVP_PKEY *key = empty ? EVP_PKEY_dup(empty) : NULL;
    if (!key || EVP_PKEY_set1_encoded_public_key(key, point.data, point.size) != 1)
        return openssl_error(err, EBADMSG, "not a point on %s", curves[i].group);
    *ret = TAKE_PTR(key);
    return 0;
}

/* ---- any ---- */
/* One key, one encoding: DER is compared byte for byte elsewhere. */
static int from_other(EVP_PKEY **ret, struct bytes der, struct error *err)
{
    const unsigned char *p = der.data;
    _evp_pkey_ EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)der.size);
    if (!key)
        return openssl_error(err, EBADMSG, "not a SubjectPublicKeyInfo");
    _buffer_ struct buffer again = {0};
    int r = public_key_to_spki(key, &again, err);
    if (r < 0)
        return r;
    if (!bytes_equal(buffer_bytes(&again), der))
        return error_set(err, EBADMSG, "SubjectPublicKeyInfo is not DER, or has bytes behind it");
    *ret = TAKE_PTR(key);
    return 0;
}

int public_key_from_spki(EVP_PKEY **ret, struct bytes der, struct error *err)
{
    struct spki s;
    if (der.size == 0 || der.size > SPKI_MAX)
        return error_set(err, EBADMSG, "a public key of %zu bytes: 1 to %d are possible", der.size,
                         SPKI_MAX);
    if (!spki_read(&s, der))
        return from_other(ret, der, err);
    return s.point.size ? public_key_from_point(ret, s.point, err) : from_rsa(ret, &s, err);
}

int public_key_to_spki(const EVP_PKEY *key, struct buffer *ret, struct error *err)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(key, &der);
    if (n <= 0)
        return openssl_error(err, EIO, "encoding a public key");
    int r = buffer_append(ret, der, (size_t)n);
    OPENSSL_free(der);
    return r < 0 ? error_errno(err, -r, "encoding a public key") : 0;
}

int public_key_to_point(const EVP_PKEY *key, struct buffer *ret, struct error *err)
{
    uint8_t point[EC_POINT_MAX];
    size_t n = 0;
    if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) !=
            1 ||
        n == 0 || point[0] != 4)
        return openssl_error(err, EINVAL, "not an elliptic-curve key");
    int r = buffer_append(ret, point, n);
    return r < 0 ? error_errno(err, -r, "encoding a public key") : 0;
}
