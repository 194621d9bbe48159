/*
 * TLS 1.3 for servers whose clients show a certificate: it carries a key and nothing else, as the
 * server's own does. Whose key is not known fails the handshake. No tickets and no resumption, so
 * that each connection's certificate is looked at.
 */
#ifndef ENCROOT_CRYPTO_TLS_MUTUAL_H
#define ENCROOT_CRYPTO_TLS_MUTUAL_H

#include "crypto/tls.h"

#include <openssl/ssl.h>

/* May the client with this key (SHA-256 of its certificate's SubjectPublicKeyInfo) connect? */
struct tls_clients {
    bool (*known)(void *arg, const uint8_t pin[32]);
    void *arg;
};

/* `clients` must outlive the context. PEM files; errors name them. */
int tls_mutual_context(SSL_CTX **ret, const char *key_path, const char *cert_path,
                       const struct tls_clients *clients, struct error *err) _must_use_;
/* The pin of the client of a connection whose handshake is done. */
int tls_mutual_pin(const SSL *ssl, uint8_t ret[32]) _must_use_;

#endif
