/* One block of PEM (RFC 7468). Internal to src/crypto. */
#ifndef ENCROOT_CRYPTO_PEM_H
#define ENCROOT_CRYPTO_PEM_H

#include "base/bytes.h"

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

#endif
