/* What `encroot evidence inspect --platform-key` verifies. */
#ifndef ENCROOT_CLI_VERIFY_TOKEN_H
#define ENCROOT_CLI_VERIFY_TOKEN_H

#include "base/findings.h"
#include "crypto/public_key.h"

/* The public key in a file (crypto/key_file.h). Errors name the file. */
int platform_key_load(EVP_PKEY **ret, const char *path, struct error *err) _must_use_;
/*
 * Verify signatures and binding of a CCA token. Returns 0 when the findings hold the outcome,
 * negative errno when the token cannot be read.
 */
int verify_token(struct findings *f, struct bytes token, EVP_PKEY *platform_key,
                 struct error *err) _must_use_;

#endif
