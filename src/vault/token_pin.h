/* The PIN of a token, from where the URL's pin-source says (RFC 7512, 2.4). */
#ifndef ENCROOT_VAULT_TOKEN_PIN_H
#define ENCROOT_VAULT_TOKEN_PIN_H

#include "base/secret.h"

#define TOKEN_PIN_MAX 256

/*
 * `source`: file:PATH, not readable by group or others (-EPERM), or credential:NAME. One line end
 * behind the PIN is not part of it. -EINVAL for no PIN, for more than TOKEN_PIN_MAX bytes, and for
 * any other source.
 */
int token_pin_read(struct secret **ret, const char *source, struct error *err) _must_use_;

#endif
