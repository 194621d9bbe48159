#include "broker/audit_checkpoint.h"
#include "crypto/certificate_verify.h"
#include "daemon/gate.h"

#include <string.h>

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

/* Its first bytes are no CertificateVerify's. */
int gate_sign_checkpoint(const struct gate *g, const struct message_checkpoint *m,
                         struct buffer *der, struct error *err)
{
    struct audit_state end = {.sequence = m->sequence};
    memcpy(end.hash, m->hash, sizeof(end.hash));
    return audit_checkpoint_sign(tls_identity_key(g->identity), &end, m->time, der, err);
}
