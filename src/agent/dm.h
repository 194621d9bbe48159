/*
 * device-mapper by its ioctls: one dm-crypt mapping. All parameters come from the measured
 * configuration; the header on the disk plays no part (DESIGN, decision 3).
 */
#ifndef ENCROOT_AGENT_DM_H
#define ENCROOT_AGENT_DM_H

#include "base/secret.h"

#include <sys/types.h>

struct dm_crypt {
    const char *name; /* MAPPER_NAME */
    uint8_t uuid[16]; /* LUKS UUID: becomes "CRYPT-LUKS2-<32 hex>-<name>", which tools know */
    const char *cipher;
    const struct secret *key;
    uint32_t sector_size; /* bytes */
    dev_t device;
    uint64_t offset; /* bytes, multiple of sector_size */
    uint64_t size;   /* bytes, multiple of sector_size */
};

/* Create and activate; the node is /dev/mapper/<name>, as udev makes it. */
int dm_crypt_open(const struct dm_crypt *c, dev_t *ret, struct error *err) _must_use_;
/* Remove the mapping; with it, the kernel's copy of the key is wiped. */
void dm_crypt_close(const char *name);

/*
 * The table line behind "crypt": cipher, key, IV offset, device, offset, options. Contains the
 * key. -ENOSPC when `size` does not suffice.
 */
int dm_crypt_table(const struct dm_crypt *c, char *ret, size_t size) _must_use_;

#endif
