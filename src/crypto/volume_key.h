/* One secret per volume: how everything else follows from it (ARCHITECTURE.md, "Keys"). */
#ifndef ENCROOT_CRYPTO_VOLUME_KEY_H
#define ENCROOT_CRYPTO_VOLUME_KEY_H

#include "base/secret.h"

#define VOLUME_SECRET_SIZE 32 /* random; a LUKS2 keyslot holds exactly these bytes too */
#define VOLUME_KEY_SIZE 64    /* AES-256-XTS: two 256-bit keys */

/*
 * HKDF-SHA-512(secret, salt = the 16 bytes of the LUKS UUID, info = "encroot volume key v1").
 * `secret` must have VOLUME_SECRET_SIZE bytes. Returns a new secret of VOLUME_KEY_SIZE bytes.
 */
int volume_key_derive(struct secret **ret, const struct secret *secret, const uint8_t uuid[16],
                      struct error *err) _must_use_;

/*
 * The LUKS UUID that encryption of the filesystem `fs_uuid` under `secret` gets: the first 16
 * bytes of HMAC-SHA-256(secret, "encroot volume uuid v1" ‖ 0x00 ‖ fs_uuid), marked as UUID
 * version 8. The same input and key material thus give the same image identity, and different
 * filesystems under one secret get different volume keys.
 */
int volume_uuid_derive(uint8_t ret[16], const struct secret *secret, const uint8_t fs_uuid[16],
                       struct error *err) _must_use_;

#endif
