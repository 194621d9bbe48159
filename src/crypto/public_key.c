#include "crypto/public_key.h"
#include "crypto/openssl_error.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/x509.h>
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

int public_key_from_spki(EVP_PKEY **ret, struct bytes der, struct error *err)
{
    if (der.size == 0 || der.size > SPKI_MAX)
        return error_set(err, EBADMSG, "a public key of %zu bytes: 1 to %d are possible", der.size,
                         SPKI_MAX);
    const unsigned char *p = der.data;
    _evp_pkey_ EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)der.size);
    if (!key)
        return openssl_error(err, EBADMSG, "not a SubjectPublicKeyInfo");
    /* One key, one encoding: DER is compared byte for byte elsewhere. */
    _buffer_ struct buffer again = {0};
    int r = public_key_to_spki(key, &again, err);
    if (r < 0)
        return r;
    if (!bytes_equal(buffer_bytes(&again), der))
        return error_set(err, EBADMSG, "SubjectPublicKeyInfo is not DER, or has bytes behind it");
    *ret = TAKE_PTR(key);
    return 0;
}

int public_key_from_point(EVP_PKEY **ret, struct bytes point, struct error *err)
{
    const char *group = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
        if (curves[i].point == point.size)
            group = curves[i].group;
    if (!group || point.data[0] != 4)
        return error_set(err, EBADMSG,
                         "a public key of %zu bytes is no uncompressed point of P-256, P-384 or "
                         "P-521",
                         point.size);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point.data, point.size),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    bool ok = ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    if (!ok) {
        EVP_PKEY_free(key);
        return openssl_error(err, EBADMSG, "not a point on %s", group);
    }
    *ret = key;
    return 0;
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
