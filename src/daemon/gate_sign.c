#include "crypto/certificate_verify.h"
#include "daemon/gate.h"

int gate_sign_transcript(const struct gate *g, const struct message_sign *m, struct buffer *der,
                         struct error *err)
{
    uint8_t message[CERTIFICATE_VERIFY_MAX];
    size_t size;
    if (m->size > sizeof(m->hash) ||
        certificate_verify_put(BYTES(m->hash, m->size), message, &size) < 0)
        return error_set(err, EINVAL, "a transcript hash of %u bytes", m->size);
    return tls_identity_sign(g->identity, BYTES(message, size), der, err);
}

static void put_be64(uint8_t *p, uint64_t v)
{
    put_be32(p, (uint32_t)(v >> 32));
    put_be32(p + 4, (uint32_t)v);
}

/* broker/audit_checkpoint.h. Its first bytes are no CertificateVerify's. */
int gate_sign_checkpoint(const struct gate *g, const struct message_checkpoint *m,
                         struct buffer *der, struct error *err)
{
    static const char label[] = "encroot audit checkpoint v1";
    _buffer_ struct buffer message = {0};
    uint8_t sequence[8], time[8];
    put_be64(sequence, m->sequence);
    put_be64(time, (uint64_t)m->time);
    if (buffer_append(&message, label, sizeof(label)) < 0 ||
        buffer_append(&message, sequence, sizeof(sequence)) < 0 ||
        buffer_append(&message, m->hash, sizeof(m->hash)) < 0 ||
        buffer_append(&message, time, sizeof(time)) < 0)
        return error_set(err, ENOMEM, "out of memory");
    return tls_identity_sign(g->identity, buffer_bytes(&message), der, err);
}
