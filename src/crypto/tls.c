#include "crypto/tls.h"
#include "crypto/tls_context.h"
#include "crypto/tls_identity.h"
#include "crypto/x509.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define ALPN_HTTP                                                                                  \
    "\x08"                                                                                         \
    "http/1.1"
#define PINS_MAX 16

struct tls {
    SSL *ssl;
    int fd;
    /* client only */
    uint8_t pins[PINS_MAX][32];
    size_t pin_count;
    bool pin_mismatch;
    bool plain_http; /* administration: a server need not choose a protocol */
    /* ours, by the peer */
    bool certificate_refused;
};

/* The alerts with which a peer turns a certificate down (RFC 8446, 6.2). */
static bool is_certificate_alert(unsigned long e)
{
    static const int alerts[] = {SSL_AD_BAD_CERTIFICATE,     SSL_AD_UNSUPPORTED_CERTIFICATE,
                                 SSL_AD_CERTIFICATE_REVOKED, SSL_AD_CERTIFICATE_EXPIRED,
                                 SSL_AD_CERTIFICATE_UNKNOWN, SSL_AD_UNKNOWN_CA};
    for (size_t i = 0; i < ARRAY_SIZE(alerts); i++)
        if (ERR_GET_REASON(e) == SSL_AD_REASON_OFFSET + alerts[i])
            return true;
    return false;
}

uint64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- what is the same at both ends ---- */
static int tls_failed(struct error *err, int code, const char *what)
{
    unsigned long e = ERR_peek_error();
    const char *reason = ERR_reason_error_string(e);
    error_set(err, code, "%s: %s", what, reason ? reason : "the peer ended the connection");
    ERR_clear_error();
    return -code;
}

static int wait_fd(int fd, short events, uint64_t deadline, const char *what, struct error *err)
{
    for (;;) {
        uint64_t now = clock_now();
        if (now >= deadline)
            return error_set(err, ETIMEDOUT, "%s: time-out", what);
        uint64_t ms = (deadline - now) / 1000000u + 1;
        struct pollfd p = {.fd = fd, .events = events};
        int r = poll(&p, 1, ms > 60000 ? 60000 : (int)ms);
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return error_errno(err, errno, "%s", what);
    }
}

/*
 * After an SSL call that did not succeed: 1 = try again (the socket is ready), 0 = the peer closed
 * properly, negative = over.
 */
static int after(struct tls *t, int r, uint64_t deadline, const char *what, struct error *err)
{
    int saved = errno;
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        r = wait_fd(t->fd, POLLIN, deadline, what, err);
        return r < 0 ? r : 1;
    case SSL_ERROR_WANT_WRITE:
        r = wait_fd(t->fd, POLLOUT, deadline, what, err);
        return r < 0 ? r : 1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        if (saved && ERR_peek_error() == 0)
            return error_errno(err, saved, "%s", what);
        return tls_failed(err, ECONNRESET, what);
    default:
        /* An end without close_notify: the connection broke, nobody spoke another protocol. */
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            return tls_failed(err, ECONNRESET, what);
        t->certificate_refused = is_certificate_alert(ERR_peek_error());
        return tls_failed(err, EPROTO, what);
    }
}

static int handshake(struct tls *t, uint64_t deadline, struct error *err)
{
    static const char what[] = "TLS handshake";
    for (;;) {
        if (clock_now() >= deadline) /* a peer that sends a byte at a time gains nothing */
            return error_set(err, ETIMEDOUT, "%s: time-out", what);
        ERR_clear_error();
        errno = 0;
        int r = SSL_do_handshake(t->ssl);
        if (r == 1)
            break;
        r = after(t, r, deadline, what, err);
        if (r < 0)
            return r;
        if (r == 0)
            return error_set(err, ECONNRESET, "%s: the peer closed the connection", what);
    }
    if (!t->plain_http && !tls_has_alpn(t->ssl))
        return error_set(err, EPROTO, "%s: the peer does not speak %s", what, &TLS_ALPN[1]);
    return 0;
}

static int start(struct tls *t, SSL_CTX *ctx, int fd, uint64_t deadline, struct error *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return error_errno(err, errno, "TLS: socket");
    t->ssl = SSL_new(ctx);
    t->fd = fd;
    if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1)
        return tls_failed(err, ENOMEM, "TLS");
    if (SSL_is_server(t->ssl))
        SSL_set_accept_state(t->ssl);
    else
        SSL_set_connect_state(t->ssl);
    return handshake(t, deadline, err);
}

/* ---- the agent's end ---- */
static int check_pin(X509_STORE_CTX *store, void *arg)
{
    struct tls *t = arg;
    const X509 *certificate = X509_STORE_CTX_get0_cert(store);
    uint8_t pin[32];
    if (certificate && certificate_spki_sha256(certificate, pin) == 0)
        for (size_t i = 0; i < t->pin_count; i++)
            if (bytes_equal_ct(BYTES_OF(pin), BYTES_OF(t->pins[i])))
                return 1;
    t->pin_mismatch = true;
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
    return 0;
}

/* `alpn`: one name with its length in front. `id`: what to show of oneself; NULL: nothing. */
static SSL_CTX *client_context(struct tls *t, const char *alpn, const struct tls_identity *id)
{
    SSL_CTX *ctx = tls_context_new(TLS_client_method());
    if (!ctx || SSL_CTX_set_alpn_protos(ctx, (const uint8_t *)alpn, (unsigned)strlen(alpn)) != 0 ||
        (id && (SSL_CTX_use_certificate(ctx, id->certificate) != 1 ||
                SSL_CTX_use_PrivateKey(ctx, id->key) != 1))) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    /* Replaces chain building as a whole: only the key counts. That the peer holds it is what
     * its CertificateVerify proves (RFC 8446, 4.4.3). */
    SSL_CTX_set_cert_verify_callback(ctx, check_pin, t);
    return ctx;
}

/* Takes over `t`. */
static int connect_with(struct tls **ret, struct tls *connection, SSL_CTX *ctx, int fd,
                        uint64_t deadline, struct error *err)
{
    _tls_ struct tls *t = connection;
    if (!ctx)
        return tls_failed(err, EIO, "TLS");
    int r = start(t, ctx, fd, deadline, err);
    SSL_CTX_free(ctx); /* t->ssl holds its own reference */
    if (r < 0 && t->pin_mismatch)
        return error_set(err, EKEYREJECTED, "the broker's key is not one that is pinned");
    if (r < 0)
        return r;
    *ret = TAKE_PTR(t);
    return 0;
}

int tls_connect(struct tls **ret, int fd, const uint8_t (*pins)[32], size_t pin_count,
                uint64_t deadline, struct error *err)
{
    if (pin_count == 0 || pin_count > PINS_MAX)
        return error_set(err, EINVAL, "TLS: %zu pins, expected 1 to %d", pin_count, PINS_MAX);
    struct tls *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, ENOMEM, "out of memory");
    memcpy(t->pins, pins, pin_count * sizeof(*pins));
    t->pin_count = pin_count;
    return connect_with(ret, t, client_context(t, TLS_ALPN, NULL), fd, deadline, err);
}

int tls_connect_as(struct tls **ret, int fd, const struct tls_identity *client,
                   const uint8_t pin[32], uint64_t deadline, struct error *err)
{
    struct tls *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, ENOMEM, "out of memory");
    memcpy(t->pins[0], pin, sizeof(t->pins[0]));
    t->pin_count = 1;
    t->plain_http = true;
    return connect_with(ret, t, client_context(t, ALPN_HTTP, client), fd, deadline, err);
}

/* ---- the broker's end ---- */
int tls_accept(struct tls **ret, int fd, const struct tls_identity *id, uint64_t deadline,
               struct error *err)
{
    _tls_ struct tls *t = calloc(1, sizeof(*t));
    if (!t)
        return error_set(err, ENOMEM, "out of memory");
    SSL_CTX *ctx = tls_context_new(TLS_server_method());
    if (!ctx || SSL_CTX_use_certificate(ctx, id->certificate) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, id->key) != 1) {
        SSL_CTX_free(ctx);
        return tls_failed(err, EIO, "TLS");
    }
    tls_context_require_alpn(ctx);
    int r = start(t, ctx, fd, deadline, err);
    SSL_CTX_free(ctx);
    if (r < 0 && t->certificate_refused)
        return error_set(err, EKEYREJECTED, "the guest does not accept this broker's key");
    if (r < 0)
        return r;
    *ret = TAKE_PTR(t);
    return 0;
}

/* ---- an established connection ---- */
int tls_exporter(struct tls *t, uint8_t *ret, size_t size, const char *label, struct error *err)
{
    if (SSL_export_keying_material(t->ssl, ret, size, label, strlen(label), NULL, 0, 0) != 1)
        return tls_failed(err, EIO, "TLS exporter");
    return 0;
}

ssize_t tls_read(struct tls *t, void *p, size_t n, uint64_t deadline, struct error *err)
{
    for (;;) {
        if (clock_now() >= deadline)
            return error_set(err, ETIMEDOUT, "reading: time-out");
        ERR_clear_error();
        errno = 0;
        size_t got = 0;
        int r = SSL_read_ex(t->ssl, p, n, &got);
        if (r == 1)
            return (ssize_t)got;
        r = after(t, r, deadline, "reading", err);
        if (r < 0 && t->certificate_refused)
            return error_set(err, EKEYREJECTED, "the peer does not accept our certificate");
        if (r <= 0)
            return r;
    }
}

int tls_write(struct tls *t, const void *p, size_t n, uint64_t deadline, struct error *err)
{
    for (const uint8_t *b = p; n > 0;) {
        if (clock_now() >= deadline)
            return error_set(err, ETIMEDOUT, "writing: time-out");
        ERR_clear_error();
        errno = 0;
        size_t put = 0;
        int r = SSL_write_ex(t->ssl, b, n, &put);
        if (r == 1) {
            b += put;
            n -= put;
            continue;
        }
        r = after(t, r, deadline, "writing", err);
        if (r < 0)
            return r;
        if (r == 0)
            return error_set(err, EPIPE, "writing: the peer closed the connection");
    }
    return 0;
}

void tls_close(struct tls *t)
{
    if (!t)
        return;
    if (t->ssl && SSL_is_init_finished(t->ssl)) {
        ERR_clear_error();
        SSL_shutdown(t->ssl);
    }
    SSL_free(t->ssl);
    ERR_clear_error();
    free(t);
}
