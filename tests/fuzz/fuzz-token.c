#include "token/cca.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cca_token t;
    struct error e = {0};
    EVP_PKEY *key = NULL;
    if (cca_token_parse(&t, BYTES(data, size), &e) == 0 &&
        cca_public_key(&key, t.cvm.public_key, &e) == 0)
        (void)!cose_sign1_verify(&t.cvm_sign1, key, &e);
    EVP_PKEY_free(key);
    /* A COSE_Key hardly ever comes up within a whole token. */
    key = NULL;
    (void)!cca_public_key(&key, BYTES(data, size), &e);
    EVP_PKEY_free(key);
    return 0;
}
