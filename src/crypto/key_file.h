/* The public key in a file, of any form that people have one in. */
#ifndef ENCROOT_CRYPTO_KEY_FILE_H
#define ENCROOT_CRYPTO_KEY_FILE_H

#include "crypto/public_key.h"

#define KEY_FILE_MAX ((size_t)64 << 10)

/*
 * `in` is exactly one of: a public key (SubjectPublicKeyInfo) or a certificate, in PEM or DER; a
 * JSON Web Key; a list with one entry whose "pkey" is one, as Arm's example tokens have beside
 * them. Nothing may follow it. `name` is used in errors. A private key is refused (-EPERM): who
 * verifies must not have it. -EBADMSG or -EINVAL for anything else.
 */
int key_file_parse(EVP_PKEY **ret, struct bytes in, const char *name, struct error *err) _must_use_;

#endif
