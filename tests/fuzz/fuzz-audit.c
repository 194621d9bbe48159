/* A record of the audit: what is accepted has one form only, and no more in it than it may. */
#include "broker/audit.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _audit_record_ struct audit_record r = {0};
    _buffer_ struct buffer again = {0};
    struct audit_state none = {0};
    struct error e = {0};
    if (audit_parse(&r, BYTES(data, size), "input", &e) < 0) {
        if (r.json || !e.text[0])
            abort();
        return 0;
    }
    if (size > AUDIT_RECORD_MAX || (r.verdict == AUDIT_DENIED) != !!r.reason ||
        strlen(r.id) != RELEASE_ID_SIZE - 1 || audit_format(r.json, &again, NULL) < 0 ||
        !bytes_equal(buffer_bytes(&again), BYTES(data, size)))
        abort();
    /* Only a first record follows nothing. */
    if (audit_verify(&none, &r, "input", &e) == 0 && r.sequence != 1)
        abort();
    return 0;
}
