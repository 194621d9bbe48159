/* A CCA token, of whatever platform, against a platform key that is given: signatures and binding,
 * no policy. */
#ifndef ENCROOT_PLATFORM_CCA_TOKEN_VERIFY_H
#define ENCROOT_PLATFORM_CCA_TOKEN_VERIFY_H

#include "base/findings.h"
#include "token/cca.h"

/*
 * Passing means: the platform part is signed by `platform_key` and names the CVM's key, which
 * signs the CVM part; or, without a platform part, both keys are the same RSA key. Freshness,
 * measurements and the platform's state are not looked at. Each check is a finding.
 */
void cca_token_verify(const struct cca_token *t, EVP_PKEY *platform_key, struct findings *f);

#endif
