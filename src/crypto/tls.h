/*
 * TLS 1.3 as encroot uses it, over any connected socket. The agent is always the TLS client; the
 * broker always the server, whoever opened the TCP connection. Certificates carry a key and
 * nothing else: names and dates are ignored, the SPKI's SHA-256 is pinned (DESIGN, decision 7).
 */
#ifndef ENCROOT_CRYPTO_TLS_H
#define ENCROOT_CRYPTO_TLS_H

#include "base/bytes.h"
#include "base/error.h"

#include <openssl/types.h>

struct tls_identity; /* broker: private key and certificate */
struct tls;          /* one connection */

/* PEM files. Errors name the file. */
int tls_identity_load(struct tls_identity **ret, const char *key_path, const char *cert_path,
                      struct error *err) _must_use_;
/* New ECDSA P-256 key and self-signed certificate, written as PEM (key: mode 0600, both new). */
int tls_identity_create(const char *key_path, const char *cert_path, struct error *err) _must_use_;
void tls_identity_free(struct tls_identity *id);
/* The private key, borrowed: to sign what is no handshake. */
EVP_PKEY *tls_identity_key(const struct tls_identity *id);
/* SHA-256 of the certificate's SubjectPublicKeyInfo: what agents pin. */
int tls_identity_pin(const struct tls_identity *id, uint8_t ret[32]) _must_use_;
/* The same from a certificate file (PEM), where the private key is elsewhere. */
int tls_certificate_pin(uint8_t ret[32], const char *cert_path, struct error *err) _must_use_;
/* ECDSA as TLS 1.3 pairs it with the curve: P-256 with SHA-256, P-384 with SHA-384; others are
 * -ENOTSUP. Appends an ECDSA-Sig-Value in DER. */
int tls_identity_sign(const struct tls_identity *id, struct bytes message, struct buffer *der,
                      struct error *err) _must_use_;
static inline void cleanup_tls_identity(struct tls_identity **id)
{
    tls_identity_free(*id);
}
#define _tls_identity_ _cleanup_(cleanup_tls_identity)

/*
 * Handshakes. `fd` stays the caller's and is made non-blocking; every call below returns
 * -ETIMEDOUT at `deadline` (CLOCK_BOOTTIME nanoseconds, absolute), whatever the peer does.
 * SIGPIPE must be ignored by the program. -EKEYREJECTED from tls_connect when the server's key is
 * none of the pins, from tls_accept when the client says so; -ECONNRESET when the peer just left.
 */
int tls_connect(struct tls **ret, int fd, const uint8_t (*pins)[32], size_t pin_count,
                uint64_t deadline, struct error *err) _must_use_;
int tls_accept(struct tls **ret, int fd, const struct tls_identity *id, uint64_t deadline,
               struct error *err) _must_use_;
/*
 * A broker's administration: the client shows a certificate too, and ordinary HTTP/1.1 follows. In
 * TLS 1.3 the server judges that certificate after the client is done: tls_read then returns
 * -EKEYREJECTED.
 */
int tls_connect_as(struct tls **ret, int fd, const struct tls_identity *client,
                   const uint8_t pin[32], uint64_t deadline, struct error *err) _must_use_;

/* CHANNEL_EXPORTER_SIZE bytes; label CHANNEL_EXPORTER_LABEL, no context. */
int tls_exporter(struct tls *t, uint8_t *ret, size_t size, const char *label,
                 struct error *err) _must_use_;
/* At least one byte, at most n; 0 = the peer closed properly (close_notify). */
ssize_t tls_read(struct tls *t, void *p, size_t n, uint64_t deadline, struct error *err) _must_use_;
int tls_write(struct tls *t, const void *p, size_t n, uint64_t deadline,
              struct error *err) _must_use_;
/* Sends close_notify without waiting. NULL allowed. */
void tls_close(struct tls *t);
static inline void cleanup_tls(struct tls **t)
{
    tls_close(*t);
}
#define _tls_ _cleanup_(cleanup_tls)

/* CLOCK_BOOTTIME now, nanoseconds. */
uint64_t clock_now(void);
#define SECONDS(n) ((uint64_t)(n)*1000000000u)

#endif
