/* Base64 (RFC 4648, 4): with padding, without line breaks or any other leniency. And base64url
 * (RFC 4648, 5) without padding, as JSON Web Keys have it (RFC 7515, 2). */
#ifndef ENCROOT_CRYPTO_BASE64_H
#define ENCROOT_CRYPTO_BASE64_H

#include "base/bytes.h"

/* Appends the text of `in` to `ret`. */
int base64_encode(struct bytes in, struct buffer *ret) _must_use_;
/* Appends the bytes; -EINVAL for anything that base64_encode would not have written. */
int base64_decode(struct bytes text, struct buffer *ret) _must_use_;
int base64url_decode(struct bytes text, struct buffer *ret) _must_use_;

#endif
