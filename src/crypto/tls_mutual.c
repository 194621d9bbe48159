#include "crypto/tls_mutual.h"
#include "crypto/openssl_error.h"
#include "crypto/tls_context.h"
#include "crypto/tls_identity.h"
#include "crypto/x509.h"

/* In place of OpenSSL's path to an authority: the key alone counts, as everywhere here. */
static int verify_client(X509_STORE_CTX *store, void *arg)
{
    const struct tls_clients *clients = arg;
    const X509 *leaf = X509_STORE_CTX_get0_cert(store);
    uint8_t pin[32];
    if (leaf && certificate_spki_sha256(leaf, pin) == 0 && clients->known(clients->arg, pin)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
    return 0;
}

static int set_up(SSL_CTX *ctx, const struct tls_identity *id, const struct tls_clients *clients)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, verify_client, (void *)(uintptr_t)clients);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_verify_depth(ctx, 1);
    return SSL_CTX_use_certificate(ctx, id->certificate) == 1 &&
                   SSL_CTX_use_PrivateKey(ctx, id->key) == 1
               ? 0
               : -EIO;
}

int tls_mutual_context(SSL_CTX **ret, const char *key_path, const char *cert_path,
                       const struct tls_clients *clients, struct error *err)
{
    _tls_identity_ struct tls_identity *id = NULL;
    int r = tls_identity_load(&id, key_path, cert_path, err);
    if (r < 0)
        return r;
    SSL_CTX *ctx = tls_context_new(TLS_server_method());
    if (!ctx || set_up(ctx, id, clients) < 0) {
        SSL_CTX_free(ctx);
        return openssl_error(err, EIO, "%s: setting up TLS", cert_path);
    }
    *ret = ctx;
    return 0;
}

int tls_mutual_pin(const SSL *ssl, uint8_t ret[32])
{
    const X509 *leaf = SSL_get0_peer_certificate(ssl);
    return leaf ? certificate_spki_sha256(leaf, ret) : -ENOENT;
}
