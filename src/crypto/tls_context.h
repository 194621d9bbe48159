/* What all TLS of encroot has in common, for those who drive OpenSSL themselves. */
#ifndef ENCROOT_CRYPTO_TLS_CONTEXT_H
#define ENCROOT_CRYPTO_TLS_CONTEXT_H

#include "base/bytes.h"

#include <openssl/ssl.h>

/* CHANNEL_ALPN with its length (RFC 7301, 3.1) */
#define TLS_ALPN                                                                                   \
    "\x09"                                                                                         \
    "encroot/1"

/* TLS 1.3 and nothing older; no tickets, no sessions, no renegotiation, no compression. NULL, and
 * OpenSSL's error, when it cannot be made. */
SSL_CTX *tls_context_new(const SSL_METHOD *method);
/* A server refuses clients that offer ALPN without ours among it. Those that offer none at all are
 * for the caller to refuse: tls_has_alpn() once the handshake is done. */
void tls_context_require_alpn(SSL_CTX *ctx);
bool tls_has_alpn(const SSL *ssl);

#endif
