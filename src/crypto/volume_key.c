#include "crypto/volume_key.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

int volume_key_derive(struct secret **ret, const struct secret *secret, const uint8_t uuid[16],
                      struct error *err)
{
    if (secret_size(secret) != VOLUME_SECRET_SIZE)
        return error_set(err, EINVAL, "volume secret: expected %d bytes, found %zu",
                         VOLUME_SECRET_SIZE, secret_size(secret));
    _secret_ struct secret *key = secret_new(VOLUME_KEY_SIZE);
    if (!key)
        return error_set(err, ENOMEM, "cannot lock memory for the volume key");
    static const char info[] = "encroot volume key v1";
    struct bytes ikm = secret_bytes(secret);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA512", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)ikm.data, ikm.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)uuid, 16),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, strlen(info)),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok = ctx && EVP_KDF_derive(ctx, secret_data(key), VOLUME_KEY_SIZE, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    if (!ok)
        return error_set(err, EIO, "HKDF-SHA-512 failed");
    *ret = TAKE_PTR(key);
    return 0;
}

int volume_uuid_derive(uint8_t ret[16], const struct secret *secret, const uint8_t fs_uuid[16],
                       struct error *err)
{
    static const char label[] = "encroot volume uuid v1"; /* its NUL is part of the message */
    uint8_t message[sizeof(label) + 16];
    memcpy(message, label, sizeof(label));
    memcpy(message + sizeof(label), fs_uuid, 16);
    uint8_t mac[32];
    struct bytes key = secret_bytes(secret);
    if (!HMAC(EVP_sha256(), key.data, (int)key.size, message, sizeof(message), mac, NULL))
        return error_set(err, EIO, "HMAC-SHA-256 failed");
    memcpy(ret, mac, 16);
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x80); /* RFC 9562, 5.8: version 8 */
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
    return 0;
}
