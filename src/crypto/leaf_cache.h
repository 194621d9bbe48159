/*
 * Certificates that verified, as they were read: reading one (its key, most of all) takes as long
 * as all that is not cryptography in an appraisal. What is read depends on the file's bytes and on
 * nothing else, so an entry is as good as reading again. Only what verified is kept: a flood of
 * forged certificates displaces nothing.
 */
#ifndef ENCROOT_CRYPTO_LEAF_CACHE_H
#define ENCROOT_CRYPTO_LEAF_CACHE_H

#include "base/bytes.h"

#include <openssl/x509.h>

struct leaf_cache;

/* NULL without memory. Of fixed size; a new entry displaces an old one. Safe between threads. */
struct leaf_cache *leaf_cache_new(void);
void leaf_cache_free(struct leaf_cache *c); /* may be NULL */

/* The certificate of these bytes, a new reference; NULL if it is not known. */
X509 *leaf_cache_get(struct leaf_cache *c, struct bytes file);
/* `certificate` is what `file` was read as. */
void leaf_cache_put(struct leaf_cache *c, struct bytes file, X509 *certificate);

#endif
