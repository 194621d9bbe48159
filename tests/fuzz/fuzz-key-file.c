#include "crypto/key_file.h"
#include "fill.h"

#include <stdlib.h>

#define X "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\""

/* fill.h. Place 0 is the whole of the input. */
static const char *const documents[] = {
    "@",
    "[{\"pkey\":{@}}]",
    "{@}",
    "{\"kty\":\"EC\",\"crv\":\"P-256\"," X ",\"y\":\"@\"}",
    "{\"kty\":\"EC\",\"crv\":\"@\",\"x\":\"\",\"y\":\"\"}",
    "{\"kty\":\"RSA\",\"n\":\"@\",\"e\":\"AQAB\"}",
    "-----BEGIN PUBLIC KEY-----\n@\n-----END PUBLIC KEY-----\n",
    "-----BEGIN @",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _buffer_ struct buffer file = {0}, spki = {0};
    _evp_pkey_ EVP_PKEY *key = NULL, *again = NULL;
    struct error e = {0};
    if (size == 0 ||
        fill(&file, documents[data[0] % ARRAY_SIZE(documents)], BYTES(data + 1, size - 1)) < 0)
        return 0;
    if (key_file_parse(&key, buffer_bytes(&file), "input", &e) < 0)
        return 0;
    /* What was taken is a public key, and one that can be written and read again. */
    if (public_key_to_spki(key, &spki, &e) == 0 && spki.size <= SPKI_MAX &&
        (public_key_from_spki(&again, buffer_bytes(&spki), &e) < 0 || EVP_PKEY_eq(key, again) != 1))
        abort();
    return 0;
}
