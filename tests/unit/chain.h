/* A chain root → intermediate → AIK for tests, each certificate with its own key. */
#ifndef ENCROOT_TESTS_CHAIN_H
#define ENCROOT_TESTS_CHAIN_H

#include "crypto/signature.h"
#include "crypto/x509_issue.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>

struct chain {
    EVP_PKEY *root_key, *intermediate_key, *aik_key;
    X509 *root, *intermediate, *aik;
};

/* The keys become the chain's. */
static inline int chain_make_with(struct chain *c, const char *name, EVP_PKEY *root_key,
                                  EVP_PKEY *intermediate_key, EVP_PKEY *aik_key)
{
    char root[64], intermediate[64], aik[64];
    snprintf(root, sizeof(root), "%s root", name);
    snprintf(intermediate, sizeof(intermediate), "%s intermediate", name);
    snprintf(aik, sizeof(aik), "%s AIK", name);
    *c = (struct chain){
        .root_key = root_key, .intermediate_key = intermediate_key, .aik_key = aik_key};
    const struct certificate_request r = {.name = root, .key = c->root_key, .ca = true};
    int e = certificate_issue(&c->root, &r, NULL);
    const struct certificate_request i = {.name = intermediate,
                                          .key = c->intermediate_key,
                                          .issuer = c->root,
                                          .issuer_key = c->root_key,
                                          .ca = true,
                                          .path_length = "0"};
    if (e == 0)
        e = certificate_issue(&c->intermediate, &i, NULL);
    const struct certificate_request a = {.name = aik,
                                          .key = c->aik_key,
                                          .issuer = c->intermediate,
                                          .issuer_key = c->intermediate_key};
    return e ? e : certificate_issue(&c->aik, &a, NULL);
}

/* `aik_key` becomes the chain's. P-521 authorities sign fast and are as good as any. */
static inline int chain_make(struct chain *c, const char *name, EVP_PKEY *aik_key)
{
    return chain_make_with(c, name, EVP_EC_gen("P-521"), EVP_EC_gen("P-521"), aik_key);
}

static inline void chain_free(struct chain *c)
{
    EVP_PKEY_free(c->root_key);
    EVP_PKEY_free(c->intermediate_key);
    EVP_PKEY_free(c->aik_key);
    X509_free(c->root);
    X509_free(c->intermediate);
    X509_free(c->aik);
}

static inline int chain_add(struct trust_anchors *a, X509 *c, bool pinned, struct error *e)
{
    _buffer_ struct buffer der = {0};
    int r = certificate_encode(c, false, &der, e);
    return r < 0 ? r : trust_anchors_add(a, buffer_bytes(&der), pinned, e);
}

/* The root pinned, the intermediate known. */
static inline struct trust_anchors *chain_anchors(const struct chain *c)
{
    struct trust_anchors *a = NULL;
    if (trust_anchors_new(&a, NULL) < 0 || chain_add(a, c->root, true, NULL) < 0 ||
        chain_add(a, c->intermediate, false, NULL) < 0) {
        trust_anchors_free(a);
        return NULL;
    }
    return a;
}

#endif
