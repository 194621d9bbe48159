/* What pins a key. Apart from the rest of X.509, of which the agent has nothing. */
#include "crypto/digest.h"
#include "crypto/openssl_error.h"
#include "crypto/x509.h"

#include <string.h>

int certificate_spki_sha256(const X509 *c, uint8_t ret[32])
{
    unsigned char *der = NULL;
    struct digest d;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(c), &der);
    int r = size > 0 ? digest_compute(&d, HASH_SHA256, BYTES(der, size)) : -EIO;
    OPENSSL_free(der);
    if (r < 0)
        return openssl_error(NULL, -r, "hashing a public key");
    memcpy(ret, d.bytes, 32);
    return 0;
}
