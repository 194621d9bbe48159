/* Public keys: SubjectPublicKeyInfo and raw points, and what kind of key one is. */
#ifndef ENCROOT_CRYPTO_PUBLIC_KEY_H
#define ENCROOT_CRYPTO_PUBLIC_KEY_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/evp.h>

#define SPKI_MAX 2048
#define EC_POINT_MAX 133 /* 04 ‖ x ‖ y on P-521 */
#define PUBLIC_KEY_GROUP_MAX 32

/*
 * A SubjectPublicKeyInfo must be DER without trailing bytes and name its curve; a
 * raw point is `04 ‖ x ‖ y` on P-256, P-384 or P-521, told apart by its length, and must lie on
 * the curve. -EBADMSG otherwise.
 */
int public_key_from_spki(EVP_PKEY **ret, struct bytes der, struct error *err) _must_use_;
int public_key_from_point(EVP_PKEY **ret, struct bytes point, struct error *err) _must_use_;
/* Appended to `ret`. */
int public_key_to_spki(const EVP_PKEY *key, struct buffer *ret, struct error *err) _must_use_;
int public_key_to_point(const EVP_PKEY *key, struct buffer *ret, struct error *err) _must_use_;

/*
 * OpenSSL's name of an EC key's curve. False for other keys, and for curves spelt out as
 * parameters: those may be anything that merely looks like the named one (CVE-2020-0601).
 */
bool public_key_group(const EVP_PKEY *key, char ret[PUBLIC_KEY_GROUP_MAX]);
/* "RSA-4096", "P-521", ... for messages and for asking what it is. */
void public_key_describe(const EVP_PKEY *key, char ret[PUBLIC_KEY_GROUP_MAX]);

static inline void cleanup_evp_pkey(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}
#define _evp_pkey_ _cleanup_(cleanup_evp_pkey)

#endif
