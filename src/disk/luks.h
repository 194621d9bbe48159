/* The LUKS2 header: for people and recovery, made by libcryptsetup without device-mapper. */
#ifndef ENCROOT_DISK_LUKS_H
#define ENCROOT_DISK_LUKS_H

#include "base/secret.h"
#include "disk/blockdev.h"

#define LUKS_DATA_OFFSET ((uint64_t)16 << 20) /* bytes: cryptsetup's default */
#define LUKS_CIPHER "aes-xts-plain64"

/*
 * Write a LUKS2 header (data offset LUKS_DATA_OFFSET) at the start of `d`, for volume key `key`,
 * with one keyslot that holds `secret` (PBKDF2, minimal iterations: the secret is random).
 * `sector_size` is 512 or 4096. The two copies of the header, keyslot area included, are
 * written; the data area is not touched.
 */
int luks_format(struct blockdev *d, const uint8_t uuid[16], uint32_t sector_size,
                const struct secret *key, const struct secret *secret,
                struct error *err) _must_use_;

#endif
