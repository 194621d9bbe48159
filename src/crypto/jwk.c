#include "crypto/jwk.h"
#include "crypto/base64.h"
#include "crypto/openssl_error.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <string.h>

#define MODULUS_MIN ((size_t)2048 / 8)
#define MODULUS_MAX ((size_t)8192 / 8)
#define EXPONENT_MAX ((size_t)8)

/* A string member in base64url, of `min` to `max` bytes, appended to `ret`. */
static int get_bytes(const json_t *jwk, const char *key, size_t min, size_t max, struct buffer *ret,
                     const char *name, struct error *err)
{
    const char *text;
    size_t before = ret->size;
    int r = json_get_string(jwk, key, &text, name, err);
    if (r < 0)
        return r;
    r = base64url_decode(BYTES_STR(text), ret);
    if (r < 0)
        return error_set(err, EINVAL, "%s: \"%s\" is not base64url", name, key);
    size_t n = ret->size - before;
    if (n >= min && n <= max)
        return 0;
    ret->size = before;
    return error_set(err, EINVAL, "%s: \"%s\" has %zu bytes, expected %zu%s", name, key, n,
                     n < min ? min : max,
                     min == max ? ""
                     : n < min  ? " or more"
                                : " or less");
}

/* RFC 7518, 6.2.1: both coordinates in full. */
static int parse_ec(EVP_PKEY **ret, const json_t *jwk, const char *name, struct error *err)
{
    static const struct {
        const char *name;
        size_t coordinate;
    } curves[] = {{"P-256", 32}, {"P-384", 48}, {"P-521", 66}};
    _buffer_ struct buffer point = {0};
    const char *curve;
    size_t n = 0;
    int r = json_get_string(jwk, "crv", &curve, name, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
        if (strcmp(curve, curves[i].name) == 0)
            n = curves[i].coordinate;
    if (n == 0)
        return error_set(err, EINVAL, "%s: \"crv\" is \"%.40s\": expected P-256, P-384 or P-521",
                         name, curve);
    r = buffer_append(&point, "\x04", 1);
    if (r == 0)
        r = get_bytes(jwk, "x", n, n, &point, name, err);
    if (r == 0)
        r = get_bytes(jwk, "y", n, n, &point, name, err);
    if (r < 0)
        return r;
    r = public_key_from_point(ret, buffer_bytes(&point), err);
    return r < 0 ? error_prefix(err, r, "%s", name) : 0;
}

static EVP_PKEY *rsa_key(struct bytes modulus, struct bytes exponent)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    BIGNUM *n = BN_bin2bn(modulus.data, (int)modulus.size, NULL);
    BIGNUM *e = BN_bin2bn(exponent.data, (int)exponent.size, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (n && e && build && ctx && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (!params || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return key;
}

/* RFC 7518, 6.3.1: both numbers in their shortest form. */
static int parse_rsa(EVP_PKEY **ret, const json_t *jwk, const char *name, struct error *err)
{
    _buffer_ struct buffer n = {0}, e = {0};
    int r = get_bytes(jwk, "n", MODULUS_MIN, MODULUS_MAX, &n, name, err);
    if (r == 0)
        r = get_bytes(jwk, "e", 1, EXPONENT_MAX, &e, name, err);
    if (r < 0)
        return r;
    if (n.data[0] == 0 || e.data[0] == 0)
        return error_set(err, EINVAL, "%s: \"%s\" starts with a zero byte", name,
                         n.data[0] == 0 ? "n" : "e");
    if (n.data[n.size - 1] % 2 == 0 || e.data[e.size - 1] % 2 == 0 ||
        (e.size == 1 && e.data[0] == 1))
        return error_set(err, EBADMSG, "%s: not an RSA modulus and exponent", name);
    *ret = rsa_key(buffer_bytes(&n), buffer_bytes(&e));
    return *ret ? 0 : openssl_error(err, EBADMSG, "%s: not an RSA key", name);
}

static const struct {
    const char *name;
    int (*parse)(EVP_PKEY **ret, const json_t *jwk, const char *name, struct error *err);
} types[] = {
    {"EC", parse_ec},
    {"RSA", parse_rsa},
};

/* RFC 7518, 6.2.2, 6.3.2 and 6.4: what must stay with whoever signs. */
static const char *private_member(const json_t *jwk)
{
    static const char *const members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        if (json_object_get(jwk, members[i]))
            return members[i];
    return NULL;
}

int jwk_parse(EVP_PKEY **ret, const json_t *jwk, const char *name, struct error *err)
{
    const char *type;
    const char *private = private_member(jwk);
    if (private)
        return error_hint(
            err, error_set(err, EPERM, "%s: a private key (it has a member \"%s\")", name, private),
            "give the public half alone, and keep the private one where it signs");
    int r = json_get_string(jwk, "kty", &type, name, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i].name, type) == 0)
            return types[i].parse(ret, jwk, name, err);
    return error_set(err, EINVAL, "%s: \"kty\" is \"%.40s\": expected EC or RSA", name, type);
}
