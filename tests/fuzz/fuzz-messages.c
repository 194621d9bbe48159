/* What a subverted appraiser says: what the keeper takes has one form only. */
#include "daemon/messages.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_findings(struct bytes in)
{
    _findings_ struct findings f = {0};
    _buffer_ struct buffer names = {0}, again = {0};
    struct error e = {0};
    if (messages_get_findings(in, &f, &names, &e) < 0) {
        if (f.list || names.data || !e.text[0])
            abort();
        return;
    }
    if (messages_put_findings(&f, &again, NULL) < 0 || !bytes_equal(buffer_bytes(&again), in))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _findings_ struct findings f = {0};
    _buffer_ struct buffer names = {0};
    struct message_decision d;
    struct bytes evidence;
    struct error e = {0};
    if (size >= sizeof(d))
        check_findings(BYTES(data + sizeof(d), size - sizeof(d)));
    if (messages_get_decision(BYTES(data, size), &d, &f, &names, &evidence, &e) < 0)
        return 0;
    if (d.readable > 1 || d.passed != findings_pass(&f) || d.evidence_size != evidence.size ||
        strnlen(d.platform, sizeof(d.platform)) == sizeof(d.platform) ||
        (evidence.size && evidence.data + evidence.size != data + size))
        abort();
    return 0;
}
