/*
 * Secrets have a type: page-aligned, locked in memory, left out of core dumps and of forked
 * children, wiped when freed, compared in constant time. Nothing here prints a secret.
 */
#ifndef ENCROOT_BASE_SECRET_H
#define ENCROOT_BASE_SECRET_H

#include "base/bytes.h"
#include "base/error.h"

struct secret; /* opaque: an owned secret of fixed size */

/* `size` bytes of zeros, at most 1 MiB. Returns NULL when memory cannot be had or locked. */
struct secret *secret_new(size_t size);
/* `size` bytes from the kernel's generator (getrandom). NULL as above. */
struct secret *secret_random(size_t size);
/* Wipes and frees; NULL is allowed. */
void secret_free(struct secret *s);

uint8_t *secret_data(struct secret *s);
size_t secret_size(const struct secret *s);
struct bytes secret_bytes(const struct secret *s);
bool secret_equal(const struct secret *a, const struct secret *b); /* constant time */

/*
 * Read a secret of exactly `size` bytes from a regular file. Errors name the file, the size
 * expected and the size found; -EPERM with a hint when group or others may read it and
 * `strict` is set.
 */
int secret_read_file(struct secret **ret, const char *path, size_t size, bool strict,
                     struct error *err) _must_use_;
/* Create a new file (mode 0600, never overwrites: -EEXIST) holding the secret: whole and synced, or
 * not at all (base/io.h). */
int secret_write_file(const struct secret *s, const char *path, struct error *err) _must_use_;

/* For a whole program: no core dumps, not attachable (PR_SET_DUMPABLE), no swap of secrets. */
void process_protect_secrets(void);

static inline void cleanup_secret(struct secret **s)
{
    secret_free(*s);
}
#define _secret_ _cleanup_(cleanup_secret)

/* Wipe on scope exit: `_wipe_(buf)` for a local array. */
void wipe(void *p, size_t n);

#endif
