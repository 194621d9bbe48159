/*
 * As much HTTP/1.1 (RFC 9112) as one POST and its answer need, strict and bounded: one message a
 * direction, CRLF line ends, Content-Length exactly once and never Transfer-Encoding, heads of at
 * most HTTP_HEAD_MAX bytes. A head is read byte by byte (from TLS's own buffer), so that nothing
 * of a body passes through here: a secret goes straight to where it belongs.
 */
#ifndef ENCROOT_PROTOCOL_HTTP_H
#define ENCROOT_PROTOCOL_HTTP_H

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/tls.h"

#define HTTP_HEAD_MAX 8192
#define HTTP_HEADERS_MAX 64

struct http_stream {
    /* At least one byte; 0 = the peer closed; negative errno. */
    ssize_t (*read)(void *arg, void *p, size_t n, struct error *err);
    int (*write)(void *arg, const void *p, size_t n, struct error *err);
    void *arg;
};

struct http_tls { /* for http_over_tls: must outlive the stream */
    struct tls *tls;
    uint64_t deadline;
};
struct http_stream http_over_tls(struct http_tls *t);

struct http_request {
    char method[16];
    char path[256];
    char content_type[64];   /* without parameters, lower case; "" if absent */
    uint64_t content_length; /* 0 if absent */
};

struct http_response {
    int status; /* 100..599 */
    char content_type[64];
    uint64_t content_length;
};

/* Heads. -EPROTO for anything that is not strictly well-formed, -ENODATA when the peer closed
 * before the first byte, -EFBIG beyond the limits. */
int http_read_request(struct http_stream *s, struct http_request *ret,
                      struct error *err) _must_use_;
/* The same, and other headers that the server wants to see: their values, "" if absent. One that is
 * there twice or has no room is -EPROTO. */
struct http_header {
    const char *name; /* in any case */
    char value[256];
};
int http_read_request_with(struct http_stream *s, struct http_request *ret,
                           struct http_header *wanted, size_t count, struct error *err) _must_use_;
int http_read_response(struct http_stream *s, struct http_response *ret,
                       struct error *err) _must_use_;

/*
 * The same for who collects a head in memory as it comes. http_head_end looks at what is new from
 * `*at` on, which it moves: 1 when the head is whole, with its size in *at; 0 if more must come;
 * -EPROTO and -EFBIG as soon as that is clear. http_parse_request takes exactly one whole head.
 */
int http_head_end(struct bytes in, size_t *at, struct error *err) _must_use_;
int http_parse_request(struct bytes head, struct http_request *ret, struct error *err) _must_use_;

/* Exactly n bytes of body; -ENODATA when the peer closes before. */
int http_read_body(struct http_stream *s, void *p, size_t n, struct error *err) _must_use_;

/* Head and body. */
int http_write_request(struct http_stream *s, const char *method, const char *path,
                       const char *content_type, struct bytes body, struct error *err) _must_use_;
int http_write_response(struct http_stream *s, int status, const char *content_type,
                        struct bytes body, struct error *err) _must_use_;

/* What http_write_response writes before the body; its length, without the NUL. -EFBIG. */
#define HTTP_RESPONSE_HEAD_SIZE 512
int http_response_head(int status, const char *content_type, size_t body_size,
                       char ret[HTTP_RESPONSE_HEAD_SIZE], struct error *err) _must_use_;

/* "Forbidden" and the like; "Error" if unknown. */
const char *http_reason(int status);

#endif
