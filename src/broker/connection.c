#include "broker/connection.h"
#include "broker/request.h"

#include <string.h>

/* The answer to what never reaches the release handler. */
static void refuse(struct release_answer *a, int status, const char *code)
{
    if (release_answer_begin(a, NULL) == 0)
        release_answer_refuse(a, status, code);
}

static int read_request(struct http_stream *s, struct buffer *body, struct release_answer *a,
                        struct error *err)
{
    struct http_request q;
    const char *code = "bad-request";
    int r = http_read_request(s, &q, err);
    if (r == -EPROTO || r == -EFBIG)
        refuse(a, 400, code);
    if (r < 0)
        return r;
    int status = request_refuse(&q, &code);
    if (status) {
        refuse(a, status, code);
        return error_set(err, EPROTO, "request %s %s: answered %d %s", q.method, q.path, status,
                         code);
    }
    body->max = EVIDENCE_JSON_MAX;
    r = buffer_reserve(body, q.content_length);
    if (r < 0)
        return error_set(err, -r, "request of %llu bytes", (unsigned long long)q.content_length);
    r = http_read_body(s, body->data, q.content_length, err);
    if (r == 0)
        body->size = q.content_length;
    return r;
}

static int respond(struct http_stream *s, const struct release_answer *a, struct error *err)
{
    if (a->status == 200)
        return http_write_response(s, 200, "application/octet-stream", secret_bytes(a->secret),
                                   err);
    return http_write_response(s, a->status, "application/json", BYTES_STR(a->body), err);
}

/* The guest says goodbye only after it has read the whole answer. */
static bool wait_for_goodbye(struct tls *t, uint64_t deadline)
{
    char byte;
    return tls_read(t, &byte, 1, deadline, NULL) == 0;
}

int connection_serve(int fd, const struct tls_identity *id, const struct release_context *c,
                     uint64_t handshake_deadline, uint64_t deadline, struct connection_result *ret,
                     struct error *err)
{
    *ret = (struct connection_result){0};
    _tls_ struct tls *t = NULL;
    _release_answer_ struct release_answer a = {0};
    _buffer_ struct buffer body = {0};
    uint8_t exporter[CHANNEL_EXPORTER_SIZE];
    int r = tls_accept(&t, fd, id, handshake_deadline, err);
    if (r < 0)
        return r;
    ret->handshake = true;
    r = tls_exporter(t, exporter, sizeof(exporter), CHANNEL_EXPORTER_LABEL, err);
    if (r < 0)
        return r;
    struct http_tls over = {.tls = t, .deadline = deadline};
    struct http_stream s = http_over_tls(&over);
    r = read_request(&s, &body, &a, err);
    ret->request = r == 0;
    if (r == 0)
        r = release_handle(c, buffer_bytes(&body), exporter, &a, err);
    if (a.status == 0)
        return r;
    ret->status = a.status;
    memcpy(ret->id, a.id, sizeof(ret->id));
    /* An earlier failure counts more than one of telling the peer about it. */
    int sent = respond(&s, &a, r < 0 ? NULL : err);
    if (r == 0)
        r = sent;
    ret->delivered = sent == 0 && a.status == 200 && wait_for_goodbye(t, deadline);
    return r;
}
