/* Inside of a remote key: the OpenSSL provider (provider-keymgmt(7), provider-signature(7)). */
#ifndef ENCROOT_CRYPTO_REMOTE_PROVIDER_H
#define ENCROOT_CRYPTO_REMOTE_PROVIDER_H

#include "crypto/remote_key.h"

#include <openssl/core.h>

#define REMOTE_PROVIDER "encroot-remote"
/* Octet string: a struct remote_signer; when a key is made of parameters. */
#define REMOTE_PARAM_SIGNER "encroot-signer"

OSSL_provider_init_fn remote_provider_init;

#endif
