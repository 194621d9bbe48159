/*
 * A checkpoint of the audit: "at this time the chain ended in this record", signed by the broker's
 * key. Kept where nobody can write who may write the chain, it shows what the chain itself cannot:
 * that its end was cut off, or that it was made anew (ATTACKS, K2).
 *
 *   signature = ECDSA over "encroot audit checkpoint v1" ‖ 0 ‖ sequence (8, big-endian) ‖ hash (32)
 *               ‖ time (8, big-endian: seconds since 1970), with the digest that goes with the
 * curve file      = {"version":1,"broker":NAME,"sequence":N,"hash":HEX,"time":"...Z",
 *                "signature":BASE64 of the DER}
 *
 * The name is a note for people and not signed: the key says who it is. That the text begins like
 * no TLS 1.3 signature's (RFC 8446, 4.4.3: 64 spaces) keeps the one key's two uses apart.
 */
#ifndef ENCROOT_BROKER_AUDIT_CHECKPOINT_H
#define ENCROOT_BROKER_AUDIT_CHECKPOINT_H

#include "broker/audit.h"

#include <openssl/types.h>

#define AUDIT_CHECKPOINT_SIGNED_SIZE (28 + 8 + AUDIT_HASH_SIZE + 8)
#define AUDIT_CHECKPOINT_SIGNATURE_MAX 160 /* DER; P-521 needs 139 */
#define AUDIT_CHECKPOINT_MAX ((size_t)4096)

struct audit_checkpoint {
    struct audit_state state;
    time_t time;
    char broker[256];
    uint8_t signature[AUDIT_CHECKPOINT_SIGNATURE_MAX];
    size_t signature_size;
};

/* What is signed. */
void audit_checkpoint_signed(const struct audit_state *s, time_t time,
                             uint8_t ret[AUDIT_CHECKPOINT_SIGNED_SIZE]);
/* The signature, appended to `ret`. `key`: ECDSA on P-256, P-384 or P-521; -ENOTSUP for others. */
int audit_checkpoint_sign(EVP_PKEY *key, const struct audit_state *s, time_t time,
                          struct buffer *ret, struct error *err) _must_use_;
/* One text with a line end, appended to `ret`. -EINVAL: a member has no place in it. */
int audit_checkpoint_format(const struct audit_checkpoint *c, struct buffer *ret,
                            struct error *err) _must_use_;
/* Strict: -EINVAL for unknown, missing or mistyped members. Its signature is not looked at. */
int audit_checkpoint_parse(struct audit_checkpoint *ret, struct bytes text, const char *name,
                           struct error *err) _must_use_;
/* 0 only if it is signed by `key` (public or private). -EKEYREJECTED, -ENOTSUP. */
int audit_checkpoint_verify(const struct audit_checkpoint *c, EVP_PKEY *key, const char *name,
                            struct error *err) _must_use_;

#endif
