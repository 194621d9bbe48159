/* A checkpoint's file: what is accepted is written again as what means the same. */
#include "broker/audit_checkpoint.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct audit_checkpoint c = {0}, again = {0};
    _buffer_ struct buffer text = {0};
    struct error e = {0};
    if (audit_checkpoint_parse(&c, BYTES(data, size), "input", &e) < 0) {
        if (c.broker[0] || !e.text[0])
            abort();
        return 0;
    }
    if (size > AUDIT_CHECKPOINT_MAX || c.signature_size == 0 ||
        c.signature_size > sizeof(c.signature) || audit_checkpoint_format(&c, &text, &e) < 0 ||
        audit_checkpoint_parse(&again, buffer_bytes(&text), "again", &e) < 0)
        abort();
    if (again.time != c.time || again.state.sequence != c.state.sequence ||
        memcmp(again.state.hash, c.state.hash, AUDIT_HASH_SIZE) != 0 ||
        strcmp(again.broker, c.broker) != 0 || again.signature_size != c.signature_size ||
        memcmp(again.signature, c.signature, c.signature_size) != 0)
        abort();
    return 0;
}
