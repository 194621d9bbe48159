/* PEM (RFC 7468): one block, or the one DER object that a file holds in PEM or as it is. */
#ifndef ENCROOT_CRYPTO_PEM_H
#define ENCROOT_CRYPTO_PEM_H

#include "base/bytes.h"
#include "base/error.h"

struct pem_block {
    char *name; /* "CERTIFICATE"; NULL: there is no block */
    uint8_t *data;
    size_t size;
    bool encrypted; /* it has headers, which only old encrypted keys have */
    bool alone;     /* nothing but white space follows */
};

/* The first block of `in`; false if there is none. */
bool pem_read(struct pem_block *ret, struct bytes in) _must_use_;
/* Wipes: it may have been a private key. */
void pem_free(struct pem_block *p);
#define _pem_ _cleanup_(pem_free)

struct pem_kind {
    const char *block; /* the PEM label: "CERTIFICATE" */
    const char *name;  /* for messages: "certificate" */
    size_t max;        /* bytes of the file */
};

/*
 * The DER, appended to `ret`. PEM: exactly one block with that label, without headers, nothing
 * behind it but white space. -EBADMSG otherwise. That it is DER is for the caller's parser to
 * find out, and that nothing is behind it.
 */
int pem_or_der(const struct pem_kind *kind, struct bytes in, struct buffer *ret,
               struct error *err) _must_use_;

/* Appends `der` as a block with that label. */
int pem_encode(const char *label, struct bytes der, struct buffer *ret) _must_use_;

#endif
