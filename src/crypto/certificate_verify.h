/*
 * What a TLS 1.3 server signs (RFC 8446, 4.4.3): 64 spaces ‖ "TLS 1.3, server CertificateVerify" ‖
 * 0 ‖ transcript hash. The two processes of a broker between which its signature is made exchange
 * the hash alone, so that whoever asks for one cannot choose what is in front of it.
 */
#ifndef ENCROOT_CRYPTO_CERTIFICATE_VERIFY_H
#define ENCROOT_CRYPTO_CERTIFICATE_VERIFY_H

#include "base/bytes.h"

#define TRANSCRIPT_HASH_MAX 48
#define CERTIFICATE_VERIFY_MAX (64 + 33 + 1 + TRANSCRIPT_HASH_MAX)

/* A transcript's hash is SHA-256 or SHA-384, by the cipher suite. */
static inline bool is_transcript_hash_size(size_t n)
{
    return n == 32 || n == 48;
}

/* 0 with the size in *ret_size, or -EINVAL for what cannot be a transcript hash. */
int certificate_verify_put(struct bytes hash, uint8_t ret[CERTIFICATE_VERIFY_MAX],
                           size_t *ret_size) _must_use_;
/* The hash in `message`, borrowed; -EBADMSG if it is anything but the above. */
int certificate_verify_get(struct bytes message, struct bytes *ret_hash) _must_use_;

#endif
