#include "protocol/channel.h"
#include "crypto/digest.h"

#include <string.h>

int channel_challenge(uint8_t ret[CHALLENGE_SIZE], const uint8_t exporter[CHANNEL_EXPORTER_SIZE],
                      struct error *err)
{
    static const char label[] = "encroot/1 evidence"; /* its NUL is the separator */
    struct digest d;
    struct digest_stream *s = digest_begin(HASH_SHA512);
    digest_update(s, label, sizeof(label));
    digest_update(s, exporter, CHANNEL_EXPORTER_SIZE);
    if (digest_finish(s, &d) < 0)
        return error_set(err, EIO, "SHA-512 failed");
    memcpy(ret, d.bytes, CHALLENGE_SIZE);
    return 0;
}
