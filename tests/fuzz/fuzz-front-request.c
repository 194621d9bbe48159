#include "daemon/front_request.h"
#include "protocol/evidence.h"

#include <stdlib.h>
#include <string.h>

/* The same request at once and in portions: the first byte says how large they grow. */
static enum front_request_state feed(struct front_request *q, struct bytes in, size_t portion,
                                     struct front_refusal *no)
{
    enum front_request_state s = REQUEST_PARTIAL;
    while (s == REQUEST_PARTIAL && in.size > 0) {
        size_t n = portion < in.size ? portion : in.size;
        s = front_request_feed(q, BYTES(in.data, n), no);
        in = BYTES(in.data + n, in.size - n);
    }
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct front_request whole = {0}, parts = {0};
    struct front_refusal no = {0}, no_parts = {0};
    if (size < 2)
        return 0;
    struct bytes in = BYTES(data + 1, size - 1);
    enum front_request_state a = feed(&whole, in, in.size, &no);
    enum front_request_state b = feed(&parts, in, 1u + data[0] % 64, &no_parts);
    /* What is behind a request is seen only if it comes together with it. */
    bool trailing = a == REQUEST_REFUSED && b == REQUEST_WHOLE && no.status == 400;
    if (a != b && !trailing)
        abort();
    if (a == REQUEST_REFUSED && b == REQUEST_REFUSED && no.status != no_parts.status)
        abort();
    if (b == REQUEST_WHOLE &&
        (parts.bytes.size != parts.head.content_length || parts.bytes.size > EVIDENCE_JSON_MAX))
        abort();
    front_request_free(&whole);
    front_request_free(&parts);
    return 0;
}
