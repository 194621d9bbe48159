#include "crypto/tls_context.h"

SSL_CTX *tls_context_new(const SSL_METHOD *method)
{
    /* No configuration file may weaken this, and in an initramfs there is none. */
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    /* Come back after every record: a peer that sends key updates without end must not keep us in
     * OpenSSL beyond the deadline. */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256") != 1 ||
        SSL_CTX_set_num_tickets(ctx, 0) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                       const unsigned char *in, unsigned in_size, void *arg)
{
    (void)ssl, (void)arg;
    if (SSL_select_next_proto((unsigned char **)out, out_size, (const unsigned char *)TLS_ALPN,
                              sizeof(TLS_ALPN) - 1, in, in_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

void tls_context_require_alpn(SSL_CTX *ctx)
{
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
}

bool tls_has_alpn(const SSL *ssl)
{
    const unsigned char *alpn;
    unsigned size;
    SSL_get0_alpn_selected(ssl, &alpn, &size);
    return bytes_equal(BYTES(alpn, size), BYTES(&TLS_ALPN[1], sizeof(TLS_ALPN) - 2));
}
