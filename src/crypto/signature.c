#include "crypto/signature.h"
#include "crypto/openssl_error.h"

#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <string.h>

static const struct algorithm {
    int64_t alg;
    const char *name;
    const char *group; /* NULL: RSA */
    size_t number;     /* bytes of r and of s */
    const EVP_MD *(*md)(void);
    bool der_too; /* virtCCA's firmware writes P-521 signatures as DER */
} algorithms[] = {
    {COSE_ES256, "ES256", "prime256v1", 32, EVP_sha256, false},
    {COSE_ES384, "ES384", "secp384r1", 48, EVP_sha384, false},
    {COSE_ES512, "ES512", "secp521r1", 66, EVP_sha512, true},
    {COSE_PS256, "PS256", NULL, 0, EVP_sha256, false},
};
#define RSA_BITS_MIN 2048
#define PSS_SALT 32

static void cleanup_ecdsa_sig(ECDSA_SIG **s)
{
    ECDSA_SIG_free(*s);
}
static void cleanup_md_ctx(EVP_MD_CTX **c)
{
    EVP_MD_CTX_free(*c);
}
static void cleanup_openssl(unsigned char **p)
{
    OPENSSL_free(*p);
}
#define _ecdsa_sig_ _cleanup_(cleanup_ecdsa_sig)
#define _md_ctx_ _cleanup_(cleanup_md_ctx)
#define _openssl_free_ _cleanup_(cleanup_openssl)

static int append(struct buffer *ret, const void *p, size_t n, struct error *err)
{
    int r = buffer_append(ret, p, n);
    return r < 0 ? error_errno(err, -r, "a signature of %zu bytes", n) : 0;
}

static const struct algorithm *find(int64_t alg)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (algorithms[i].alg == alg)
            return &algorithms[i];
    return NULL;
}

const char *cose_alg_name(int64_t alg)
{
    const struct algorithm *a = find(alg);
    return a ? a->name : NULL;
}

static bool goes_with(const struct algorithm *a, const EVP_PKEY *key)
{
    if (!a->group)
        return EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN;
    char group[PUBLIC_KEY_GROUP_MAX];
    return public_key_group(key, group) && strcmp(group, a->group) == 0;
}

int64_t cose_alg_of_key(const EVP_PKEY *key)
{
    for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
        if (goes_with(&algorithms[i], key))
            return algorithms[i].alg;
    return 0;
}

static int algorithm_for(const struct algorithm **ret, const EVP_PKEY *key, int64_t alg,
                         struct error *err)
{
    const struct algorithm *a = find(alg);
    if (!a)
        return error_set(err, ENOTSUP, "signature algorithm %lld is not supported", (long long)alg);
    if (!goes_with(a, key))
        return error_set(err, ENOTSUP, "signature algorithm %s does not go with the key", a->name);
    *ret = a;
    return 0;
}

static int sig_to_der(ECDSA_SIG *sig, struct buffer *ret, struct error *err)
{
    _openssl_free_ unsigned char *der = NULL;
    int n = i2d_ECDSA_SIG(sig, &der);
    if (n <= 0)
        return openssl_error(err, EIO, "encoding a signature");
    return append(ret, der, (size_t)n, err);
}

int signature_raw_to_der(struct bytes raw, struct buffer *ret, struct error *err)
{
    size_t half = raw.size / 2;
    if (half == 0 || half > 66 || raw.size % 2)
        return error_set(err, EKEYREJECTED, "a signature of %zu bytes is not r‖s", raw.size);
    _ecdsa_sig_ ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw.data, (int)half, NULL);
    BIGNUM *s = BN_bin2bn(raw.data + half, (int)half, NULL);
    if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        return openssl_error(err, ENOMEM, "taking a signature apart");
    }
    return sig_to_der(sig, ret, err);
}

/* Is `in` what DER makes of the two numbers in it, all of it? BER's other forms are refused. */
static bool is_canonical_der(struct bytes in)
{
    const unsigned char *p = in.data;
    _ecdsa_sig_ ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)in.size);
    if (!sig || p != in.data + in.size)
        return false;
    _buffer_ struct buffer again = {0};
    return sig_to_der(sig, &again, NULL) == 0 && bytes_equal(buffer_bytes(&again), in);
}

/* EVP wants ECDSA signatures as DER, RSA ones as they are. */
static int signature_for_evp(const struct algorithm *a, struct bytes signature, struct buffer *ret,
                             struct error *err)
{
    if (a->group && signature.size == 2 * a->number)
        return signature_raw_to_der(signature, ret, err);
    if (a->group &&
        !(a->der_too && signature.size <= 2 * a->number + 16 && is_canonical_der(signature)))
        return openssl_error(
            err, EKEYREJECTED, "the signature of %zu bytes is not an %s signature of %zu bytes%s",
            signature.size, a->name, 2 * a->number, a->der_too ? " nor its DER form" : "");
    return append(ret, signature.data, signature.size, err);
}

static bool use_pss(EVP_PKEY_CTX *ctx, const EVP_MD *md)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, PSS_SALT) == 1;
}

int signature_verify(EVP_PKEY *key, int64_t alg, struct bytes message, struct bytes signature,
                     struct error *err)
{
    const struct algorithm *a;
    _buffer_ struct buffer der = {0};
    int r = algorithm_for(&a, key, alg, err);
    if (r < 0)
        return r;
    r = signature_for_evp(a, signature, &der, err);
    if (r < 0)
        return r;
    _md_ctx_ EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL; /* belongs to ctx */
    if (!ctx || EVP_DigestVerifyInit(ctx, &pctx, a->md(), NULL, key) != 1 ||
        (!a->group && !use_pss(pctx, a->md())))
        return openssl_error(err, EIO, "preparing to verify an %s signature", a->name);
    EVP_MD_CTX_set_flags(ctx, EVP_MD_CTX_FLAG_FINALISE); /* used once: no copy is made of it */
    if (EVP_DigestVerify(ctx, der.data, der.size, message.data, message.size) != 1)
        return openssl_error(err, EKEYREJECTED, "the %s signature does not verify", a->name);
    return 0;
}

static int der_to_raw(const struct algorithm *a, struct bytes der, struct buffer *ret,
                      struct error *err)
{
    const unsigned char *p = der.data;
    _ecdsa_sig_ ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der.size);
    uint8_t raw[2 * 66];
    if (!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)a->number) < 0 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + a->number, (int)a->number) < 0)
        return openssl_error(err, EIO, "encoding an %s signature", a->name);
    return append(ret, raw, 2 * a->number, err);
}

int signature_sign(EVP_PKEY *key, int64_t alg, struct bytes message, struct buffer *ret,
                   struct error *err)
{
    const struct algorithm *a;
    int r = algorithm_for(&a, key, alg, err);
    if (r < 0)
        return r;
    _md_ctx_ EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL; /* belongs to ctx */
    uint8_t out[2048];
    size_t size = sizeof(out);
    if (!ctx || EVP_PKEY_get_size(key) > (int)sizeof(out) ||
        EVP_DigestSignInit(ctx, &pctx, a->md(), NULL, key) != 1 ||
        (!a->group && !use_pss(pctx, a->md())) ||
        EVP_DigestSign(ctx, out, &size, message.data, message.size) != 1)
        return openssl_error(err, EIO, "signing with %s", a->name);
    if (a->group)
        return der_to_raw(a, BYTES(out, size), ret, err);
    return append(ret, out, size, err);
}
