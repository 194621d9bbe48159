#include "crypto/certificate_verify.h"
#include "crypto/openssl_error.h"
#include "crypto/tls_context.h"
#include "crypto/tls_identity.h"
#include "daemon/front.h"

#include <string.h>

#define GATE_PATIENCE SECONDS(10)

/* One round trip to the gate, which has nothing slower to do than this. */
static int ask_gate(struct front *f, struct bytes hash, struct frame *ret, struct error *err)
{
    struct channel *c = &f->sign.channel;
    struct message_sign m = {.size = (uint32_t)hash.size};
    memcpy(m.hash, hash.data, hash.size);
    struct bytes body = BYTES(&m, sizeof(m));
    uint64_t deadline = clock_now() + GATE_PATIENCE;
    f->signing->was_signed = true;
    int r = channel_send(c, MESSAGE_SIGN, f->signing->number, &body, 1, err);
    if (r == 0)
        r = channel_drain(c, deadline, err);
    if (r == 0)
        r = channel_wait(c, ret, deadline, err);
    if (r == 0 && (ret->type != MESSAGE_SIGNATURE || ret->connection != f->signing->number))
        r = error_set(err, EPROTO, "it answered another question");
    return error_prefix(err, r, "gate");
}

/* struct remote_signer: from within SSL_do_handshake. */
static int sign_at_gate(void *arg, struct bytes message, struct buffer *der)
{
    struct front *f = arg;
    struct bytes hash;
    struct frame answer;
    struct error err = {0};
    if (!f->signing || certificate_verify_get(message, &hash) < 0)
        return -EACCES;
    int r = ask_gate(f, hash, &answer, &err);
    if (r == -ECONNRESET || r == -EPIPE)
        front_gate_left(f);
    else if (r < 0)
        front_give_up(f, r, &err);
    if (r < 0)
        return r;
    return answer.body.size ? buffer_append(der, answer.body.data, answer.body.size) : -EACCES;
}

static int use_certificate(struct front *f, X509 *certificate, struct error *err)
{
    const struct remote_signer signer = {.sign = sign_at_gate, .arg = f};
    int r = remote_key_new(&f->key, X509_get0_pubkey(certificate), &signer, err);
    if (r < 0)
        return error_prefix(err, r, "%s", f->config->certificate);
    if (SSL_CTX_use_certificate(f->tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey(f->tls, remote_key_pkey(f->key)) != 1)
        return openssl_error(err, EIO, "%s", f->config->certificate);
    return 0;
}

int front_tls_open(struct front *f, struct error *err)
{
    X509 *certificate = NULL;
    f->tls = tls_context_new(TLS_server_method());
    if (!f->tls)
        return openssl_error(err, EIO, "TLS");
    tls_context_require_alpn(f->tls);
    /* Connections that wait cost little. The certificate goes alone: OpenSSL would look for its
     * issuers at each handshake, in a store that is empty. */
    SSL_CTX_set_mode(f->tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_NO_AUTO_CHAIN);
    /* What guests send is no secret: OpenSSL need not wipe 16 KiB after each record of it. */
    SSL_CTX_clear_options(f->tls, SSL_OP_CLEANSE_PLAINTEXT);
    /* One read for what is there, not two for each record. */
    SSL_CTX_set_read_ahead(f->tls, 1);
    int r = tls_certificate_load(&certificate, f->config->certificate, err);
    if (r == 0)
        r = use_certificate(f, certificate, err);
    X509_free(certificate);
    return r;
}

void front_tls_close(struct front *f)
{
    SSL_CTX_free(f->tls);
    remote_key_free(f->key);
}
