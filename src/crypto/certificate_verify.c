#include "crypto/certificate_verify.h"

#include <errno.h>
#include <string.h>

/* The NUL behind it is part of it. */
static const char prefix[] = "                                                                "
                             "TLS 1.3, server CertificateVerify";

_Static_assert(sizeof(prefix) + TRANSCRIPT_HASH_MAX == CERTIFICATE_VERIFY_MAX, "64 spaces");

int certificate_verify_put(struct bytes hash, uint8_t ret[CERTIFICATE_VERIFY_MAX], size_t *ret_size)
{
    if (!is_transcript_hash_size(hash.size))
        return -EINVAL;
    memcpy(ret, prefix, sizeof(prefix));
    memcpy(ret + sizeof(prefix), hash.data, hash.size);
    *ret_size = sizeof(prefix) + hash.size;
    return 0;
}

int certificate_verify_get(struct bytes message, struct bytes *ret_hash)
{
    if (message.size < sizeof(prefix) || !is_transcript_hash_size(message.size - sizeof(prefix)) ||
        memcmp(message.data, prefix, sizeof(prefix)) != 0)
        return -EBADMSG;
    *ret_hash = BYTES(message.data + sizeof(prefix), message.size - sizeof(prefix));
    return 0;
}
