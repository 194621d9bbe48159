#include "crypto/public_key.h"
#include "crypto/x509.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e = {0};
    _x509_ X509 *c = NULL;
    _trust_anchors_ struct trust_anchors *a = NULL;
    if (certificate_parse(&c, BYTES(data, size), &e) < 0)
        return 0;
    /* Nothing is pinned, so nothing may verify. */
    if (trust_anchors_new(&a, &e) == 0 && certificate_verify_chain(c, a, &e) == 0)
        abort();
    (void)!certificate_is_signing_leaf(c);
    EVP_PKEY *key = certificate_public_key(c);
    char kind[PUBLIC_KEY_GROUP_MAX];
    _buffer_ struct buffer spki = {0};
    if (key) {
        public_key_describe(key, kind);
        (void)!public_key_to_spki(key, &spki, &e);
    }
    return 0;
}
