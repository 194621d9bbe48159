/*
 * What stands in for the platform's manufacturer: root CA → intermediate CA → attestation key,
 * made at first use and kept in the state folder, one set an algorithm:
 *   DIR/p521/trust/root.pem, intermediate.pem   what a verifier trusts (a trust-anchor folder)
 *   DIR/p521/trust/pins                         SHA-256 of the root certificate
 *   DIR/p521/aik.pem, aik.der                   certificate of the attestation key
 *   DIR/p521/root.key, intermediate.key, aik.key   private, mode 0600
 * and the same under DIR/rsa. A folder appears whole or not at all.
 */
#ifndef ENCROOT_TMM_AUTHORITY_H
#define ENCROOT_TMM_AUTHORITY_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/evp.h>

/* What every certificate's name begins with, and what the platform claims to be. */
#define AUTHORITY_NAME "encroot software TMM (development only)"

enum authority_kind {
    AUTHORITY_P521 = 0,
    AUTHORITY_RSA, /* RSA-4096 */
};

struct authority {
    enum authority_kind kind;
    EVP_PKEY *aik;
    struct buffer certificate; /* of the AIK, as the guest gets it: PEM (P-521) or DER (RSA) */
    uint8_t root_pin[32];      /* SHA-256 of the root certificate's DER */
};

/* "p521", "rsa": the folder's name. */
const char *authority_name(enum authority_kind kind);
/* Open what is in `state`, or make it first. */
int authority_open(struct authority *ret, const char *state, enum authority_kind kind,
                   struct error *err) _must_use_;
void authority_free(struct authority *a);
#define _authority_ _cleanup_(authority_free)

/* A new key of the kind: for the tokens of one run. NULL on failure. */
EVP_PKEY *authority_new_key(enum authority_kind kind);

#endif
