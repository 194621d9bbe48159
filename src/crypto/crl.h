/*
 * Certificate revocation lists (RFC 5280, 5): complete ones, each signed by the key that signed
 * the certificates it speaks of. Delta, indirect and partial lists are refused: they say so in
 * critical extensions, and what is not understood in full must not be taken for "not revoked".
 */
#ifndef ENCROOT_CRYPTO_CRL_H
#define ENCROOT_CRYPTO_CRL_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/x509.h>
#include <time.h>

#define CRL_MAX ((size_t)16 << 20)

/* PEM or DER, exactly one list, no trailing bytes (PEM: but for white space). */
int crl_parse(X509_CRL **ret, struct bytes in, struct error *err) _must_use_;
/*
 * 0 only if `issuer` signed it, may sign lists, and the list is of a kind that is understood.
 * -EBADMSG otherwise. The caller has compared the names.
 */
int crl_verify(X509_CRL *crl, X509 *issuer, struct error *err) _must_use_;
/* Is the certificate in it? By issuer and serial number; any entry counts, whatever its reason. */
bool crl_lists(X509_CRL *crl, const X509 *c, const X509_REVOKED **entry);

/* Seconds since 1970. False if there is no time or it cannot be read. */
bool x509_time(const ASN1_TIME *t, time_t *ret);

static inline void cleanup_crl(X509_CRL **c)
{
    X509_CRL_free(*c);
}
#define _crl_ _cleanup_(cleanup_crl)

#endif
