#include "crypto/base64.h"
#include "fill.h"
#include "protocol/evidence.h"

#include <stdlib.h>
#include <string.h>

/* fill.h. Place 0 is the whole of the input. */
static const char *const documents[] = {
    "@",
    "{@}",
    "{\"version\":@}",
    "{\"version\":1,\"volume\":\"@\"}",
    "{\"version\":1,\"volume\":\"abababab-abab-abab-abab-abababababab\",\"platform\":\"@\","
    "\"token\":\"\",\"certificate\":\"\",\"event_log\":{\"format\":\"tcg2\",\"data\":\"\"}}",
    "{\"version\":1,\"volume\":\"abababab-abab-abab-abab-abababababab\",\"platform\":\"virtcca\","
    "\"token\":\"@\",\"certificate\":\"\",\"event_log\":{\"format\":\"tcg2\",\"data\":\"\"}}",
    "{\"version\":1,\"volume\":\"abababab-abab-abab-abab-abababababab\",\"platform\":\"virtcca\","
    "\"token\":\"\",\"certificate\":\"\",\"event_log\":{@}}",
    "{\"version\":1,\"volume\":\"abababab-abab-abab-abab-abababababab\",\"platform\":\"virtcca\","
    "\"token\":\"\",\"certificate\":\"\",\"challenge\":\"@\","
    "\"event_log\":{\"format\":\"ccel\",\"data\":\"\"}}",
};

/* Base64 has one form: what decodes must encode to the very same text. */
static void check_base64(struct bytes text)
{
    _buffer_ struct buffer bytes = {0}, again = {0};
    if (base64_decode(text, &bytes) < 0)
        return;
    if (base64_encode(buffer_bytes(&bytes), &again) < 0 || !bytes_equal(buffer_bytes(&again), text))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct bytes in = BYTES(data + 1, size - 1);
    _buffer_ struct buffer json = {0}, again = {0};
    _evidence_ struct evidence e = {0}, same = {0};
    check_base64(in);
    if (fill(&json, documents[data[0] % ARRAY_SIZE(documents)], in) < 0 ||
        evidence_parse(&e, buffer_bytes(&json), "input", NULL) < 0)
        return 0;
    /* What was read can be written, and then says the same. */
    if (evidence_format(&e, &again, NULL) < 0 ||
        evidence_parse(&same, buffer_bytes(&again), "again", NULL) < 0 ||
        !bytes_equal(buffer_bytes(&e.token), buffer_bytes(&same.token)) ||
        memcmp(e.volume, same.volume, sizeof(e.volume)) != 0 ||
        strcmp(e.platform, same.platform) != 0 || e.has_challenge != same.has_challenge)
        abort();
    return 0;
}
