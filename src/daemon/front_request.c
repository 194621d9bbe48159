#include "daemon/front_request.h"
#include "broker/request.h"
#include "protocol/evidence.h"

#include <string.h>

static enum front_request_state refuse(struct front_refusal *ret, int status, const char *code)
{
    *ret = (struct front_refusal){.status = status, .code = code};
    return REQUEST_REFUSED;
}

/* Leaves the body's beginning in `bytes`. */
static enum front_request_state take_head(struct front_request *q, struct front_refusal *ret)
{
    int r = http_head_end(buffer_bytes(&q->bytes), &q->looked_at, NULL);
    if (r == 0)
        return REQUEST_PARTIAL;
    if (r == -EFBIG)
        return refuse(ret, 431, "too-large");
    if (r < 0 || http_parse_request(BYTES(q->bytes.data, q->looked_at), &q->head, NULL) < 0)
        return refuse(ret, 400, "bad-request");
    const char *code;
    int status = request_refuse(&q->head, &code);
    if (status)
        return refuse(ret, status, code);
    q->has_head = true;
    q->bytes.size -= q->looked_at;
    memmove(q->bytes.data, q->bytes.data + q->looked_at, q->bytes.size);
    return REQUEST_PARTIAL;
}

enum front_request_state front_request_feed(struct front_request *q, struct bytes in,
                                            struct front_refusal *ret)
{
    q->bytes.max = HTTP_HEAD_MAX + EVIDENCE_JSON_MAX + in.size;
    if (buffer_append(&q->bytes, in.data, in.size) < 0)
        return refuse(ret, 503, "unavailable");
    if (!q->has_head) {
        enum front_request_state s = take_head(q, ret);
        if (s != REQUEST_PARTIAL || !q->has_head)
            return s;
    }
    /* One request a connection: what is behind it is no part of it, and so all of it is doubtful.
     */
    if (q->bytes.size > q->head.content_length)
        return refuse(ret, 400, "bad-request");
    return q->bytes.size == q->head.content_length ? REQUEST_WHOLE : REQUEST_PARTIAL;
}

void front_request_free(struct front_request *q)
{
    buffer_free(&q->bytes);
    *q = (struct front_request){0};
}
