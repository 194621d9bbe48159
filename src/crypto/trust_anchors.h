/* What trust anchors are made of: for the code that fills them, and that which follows chains. */
#ifndef ENCROOT_CRYPTO_TRUST_ANCHORS_H
#define ENCROOT_CRYPTO_TRUST_ANCHORS_H

#include "crypto/chain_cache.h"
#include "crypto/leaf_cache.h"

/* A revocation list whose signature was verified with the key of `issuer`. */
struct revocation_list {
    X509_CRL *crl;
    X509 *issuer;
};

/*
 * Trust is in `roots` alone, and only a pinned certificate gets there; whatever else is known
 * helps to find a path and is believed nothing.
 */
struct trust_anchors {
    X509_STORE *roots;
    STACK_OF(X509) * certificates; /* roots, too: whose lists may be known */
    STACK_OF(X509) * intermediates;
    size_t root_count;
    struct revocation_list *lists;
    size_t list_count;
    struct chain_cache *cache;
    struct leaf_cache *leaves;
};

int trust_anchors_add_parsed(struct trust_anchors *a, X509 *c, bool pinned,
                             struct error *err) _must_use_;
/*
 * Does the list speak of certificates that `issuer` issued? By name and key: a certificate that
 * an authority renewed keeps its lists, a namesake with another key has none of them.
 */
bool revocation_list_is_of(const struct revocation_list *l, const X509 *issuer);

#endif
