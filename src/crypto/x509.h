/*
 * Certificate chains against pinned roots, offline. Nothing is ever fetched. Dates are judged only
 * if the caller says so, by the caller's clock; revocation lists that are there always are.
 */
#ifndef ENCROOT_CRYPTO_X509_H
#define ENCROOT_CRYPTO_X509_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/x509.h>
#include <time.h>

struct trust_anchors;

/*
 * A folder of certificates (PEM or DER; every regular file that ends in .pem, .crt, .cer, .der):
 * self-signed ones are roots if their SHA-256 is in `pins`, else they are ignored; others are
 * intermediates. `pins`: text file, one SHA-256 of a certificate (64 hex) a line, `#` comments.
 * A missing folder, an empty pin list or no pinned root among the files is an error: nothing
 * could ever verify. Files that end in .crl are revocation lists (PEM or DER, one a file), as for
 * trust_anchors_add_crl; the error names the file.
 */
int trust_anchors_load(struct trust_anchors **ret, const char *folder, const char *pin_file,
                       struct error *err) _must_use_;
/*
 * The same from memory, for tests and stores. Each certificate PEM or DER. A pinned root must be
 * self-signed; a self-signed certificate that is not pinned is ignored.
 *
 * Adding goes before verifying: anchors that several threads verify with must not change.
 */
int trust_anchors_new(struct trust_anchors **ret, struct error *err) _must_use_;
int trust_anchors_add(struct trust_anchors *a, struct bytes certificate, bool pinned_root,
                      struct error *err) _must_use_;
/*
 * A revocation list (PEM or DER) of an authority that was added before: a complete one, signed by
 * that authority's key. Of several lists of one authority, the newest (thisUpdate) counts.
 *
 * A list that no authority here signed is refused (-EBADMSG, -ENOENT if its issuer is unknown).
 * To believe it would let anyone revoke; to pass over it would make "revoked" silently turn into
 * "good" for whoever can damage a file or a download. So it is an error, at once and with its
 * reason, before anything is verified.
 */
int trust_anchors_add_crl(struct trust_anchors *a, struct bytes list, struct error *err) _must_use_;
/* Each root, then each other certificate. `role` is static: "root", "intermediate". */
void trust_anchors_each(const struct trust_anchors *a,
                        void (*tell)(void *arg, const char *role, const X509 *c), void *arg);
/* Each revocation list: its authority, and the dates of the list as "YYYY-MM-DD" or "". */
void trust_anchors_each_crl(const struct trust_anchors *a,
                            void (*tell)(void *arg, const X509 *authority, const char *from,
                                         const char *until),
                            void *arg);
void trust_anchors_free(struct trust_anchors *a);
static inline void cleanup_trust_anchors(struct trust_anchors **a)
{
    trust_anchors_free(*a);
}
#define _trust_anchors_ _cleanup_(cleanup_trust_anchors)

#define CERTIFICATE_MAX ((size_t)16 << 10)

/* PEM or DER, exactly one certificate, no trailing bytes (PEM: but for white space). */
int certificate_parse(X509 **ret, struct bytes in, struct error *err) _must_use_;
/* The same; a file that was remembered with these anchors (may be NULL) is not read again. */
int certificate_parse_known(X509 **ret, struct bytes in, const struct trust_anchors *a,
                            struct error *err) _must_use_;
/* `in` was read as `c`, which verified (crypto/leaf_cache.h says why that is safe). */
void certificate_remember(const struct trust_anchors *a, struct bytes in, X509 *c);
/* SHA-256 of the DER: what pins a root. */
int certificate_sha256(const X509 *c, uint8_t ret[32]) _must_use_;
/* SHA-256 of the SubjectPublicKeyInfo, as it stands in the certificate: what pins a key. */
int certificate_spki_sha256(const X509 *c, uint8_t ret[32]) _must_use_;
/* The key, borrowed from the certificate; NULL if it is of a kind that OpenSSL cannot read. */
EVP_PKEY *certificate_public_key(const X509 *c);
/* May it sign, and is it no CA: what an attestation key's certificate must be. */
bool certificate_is_signing_leaf(X509 *c);
/* "CN=..., O=..." on one line (RFC 2253), appended as text without a NUL. */
int certificate_subject(const X509 *c, struct buffer *ret) _must_use_;
int certificate_name(const X509_NAME *name, struct buffer *ret) _must_use_;

/* Zero: no dates, no list required. */
struct chain_rules {
    bool dates;               /* judge the dates of certificates and revocation lists by `now` */
    time_t now;               /* the caller's clock: the library has none */
    bool revocation_required; /* each authority of the path must have a revocation list here */
};

/*
 * Build a chain from `leaf` through the intermediates to a pinned root, checking every signature
 * (RSA, ECDSA, SM2), CA flags, path lengths, key usages, and revocation of all but the root. A
 * root is no leaf: it does not verify by itself. `rules` may be NULL for none.
 *
 * -EKEYREVOKED when a certificate of the path was revoked, -EKEYREJECTED with the reason when
 * there is no path or the rules refuse it. There may be a hint.
 *
 * With `dates`: a time is valid from notBefore and thisUpdate to before notAfter and nextUpdate;
 * a list without nextUpdate is refused, for nobody knows how old it may get.
 *
 * Successes are remembered in the anchors (crypto/chain_cache.h says why that is safe). Several
 * threads may verify with the same anchors at once.
 */
int certificate_verify_chain(X509 *leaf, const struct trust_anchors *a,
                             const struct chain_rules *rules, struct error *err) _must_use_;

static inline void cleanup_x509(X509 **c)
{
    X509_free(*c);
}
#define _x509_ _cleanup_(cleanup_x509)

#endif
