#include "protocol/http.h"

#include <ctype.h>
#include <string.h>

static ssize_t read_tls(void *arg, void *p, size_t n, struct error *err)
{
    struct http_tls *t = arg;
    return tls_read(t->tls, p, n, t->deadline, err);
}

static int write_tls(void *arg, const void *p, size_t n, struct error *err)
{
    struct http_tls *t = arg;
    return tls_write(t->tls, p, n, t->deadline, err);
}

struct http_stream http_over_tls(struct http_tls *t)
{
    return (struct http_stream){.read = read_tls, .write = write_tls, .arg = t};
}

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Error";
}

/* ---- reading ---- */
static int malformed(struct error *err, const char *what)
{
    return error_set(err, EPROTO, "HTTP: %s", what);
}

int http_head_end(struct bytes in, size_t *at, struct error *err)
{
    const uint8_t *b = in.data;
    for (; *at < in.size; ++*at) {
        size_t n = *at;
        if (n == HTTP_HEAD_MAX)
            return error_set(err, EFBIG, "HTTP: the head exceeds %d bytes", HTTP_HEAD_MAX);
        /* Only what a head may hold: no NUL, no lone CR or LF, no control characters. */
        bool after_cr = n > 0 && b[n - 1] == '\r';
        if ((b[n] == '\n') != after_cr ||
            (b[n] < 32 && b[n] != '\r' && b[n] != '\n' && b[n] != '\t') || b[n] == 127)
            return malformed(err, "a forbidden character in the head");
        if (n >= 3 && memcmp(b + n - 3, "\r\n\r\n", 4) == 0) {
            ++*at;
            return 1;
        }
    }
    return 0;
}

/* Up to and with the empty line. */
static int read_head(struct http_stream *s, char head[HTTP_HEAD_MAX + 1], size_t *ret_size,
                     struct error *err)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = s->read(s->arg, head + n, 1, err);
        if (got < 0)
            return (int)got;
        if (got == 0 && n == 0)
            return error_set(err, ENODATA, "HTTP: the peer closed the connection");
        if (got == 0)
            return malformed(err, "the head ends early");
        int r = http_head_end(BYTES(head, n + 1), &n, err);
        if (r < 0)
            return r;
        if (r > 0)
            break;
    }
    *ret_size = n;
    return 0;
}

/* Cuts the next line off; NULL at the end. */
static char *next_line(char **at)
{
    char *line = *at;
    if (*line == '\0')
        return NULL;
    char *end = strstr(line, "\r\n");
    *end = '\0';
    *at = end + 2;
    return line;
}

/* RFC 9110, 5.6.2 */
static bool is_token(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("!#$%&'*+-.^_`|~", *s))
            return false;
    return true;
}

struct headers {
    char content_type[64];
    uint64_t content_length;
    bool has_length;
    struct http_header *wanted;
    size_t wanted_count;
};

static int parse_length(struct headers *h, const char *value, struct error *err)
{
    size_t digits = strspn(value, "0123456789");
    if (h->has_length || digits == 0 || digits > 15 || value[digits])
        return malformed(err, "bad or repeated Content-Length");
    h->has_length = true;
    h->content_length = strtoull(value, NULL, 10);
    return 0;
}

static int parse_type(struct headers *h, const char *value, struct error *err)
{
    size_t n = strcspn(value, "; \t");
    if (n == 0 || n >= sizeof(h->content_type) || h->content_type[0])
        return malformed(err, "bad or repeated Content-Type");
    for (size_t i = 0; i < n; i++)
        h->content_type[i] = (char)tolower((unsigned char)value[i]);
    h->content_type[n] = '\0';
    return 0;
}

static int parse_wanted(struct headers *h, const char *name, const char *value, struct error *err)
{
    for (size_t i = 0; i < h->wanted_count; i++) {
        struct http_header *w = &h->wanted[i];
        size_t n = strlen(value);
        if (strcasecmp(name, w->name) != 0)
            continue;
        if (w->value[0] || n >= sizeof(w->value))
            return error_set(err, EPROTO, "HTTP: bad or repeated %s", w->name);
        memcpy(w->value, value, n + 1);
    }
    return 0;
}

static int parse_header(struct headers *h, char *line, struct error *err)
{
    char *colon = strchr(line, ':');
    if (!colon)
        return malformed(err, "a header without a colon");
    *colon = '\0';
    if (!is_token(line)) /* obsolete line folding too: it begins with a blank */
        return malformed(err, "a bad header name");
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t n = strlen(value); n > 0 && strchr(" \t", value[n - 1]); n--)
        value[n - 1] = '\0';
    if (strcasecmp(line, "transfer-encoding") == 0)
        return malformed(err, "Transfer-Encoding is not accepted");
    if (strcasecmp(line, "content-length") == 0)
        return parse_length(h, value, err);
    if (strcasecmp(line, "content-type") == 0)
        return parse_type(h, value, err);
    return parse_wanted(h, line, value, err);
}

static int parse_headers(struct headers *h, char *at, struct error *err)
{
    char *line;
    for (size_t n = 0; (line = next_line(&at)); n++) {
        int r =
            n < HTTP_HEADERS_MAX ? parse_header(h, line, err) : malformed(err, "too many headers");
        if (r < 0)
            return r;
    }
    return 0;
}

static bool take_word(char **at, char *to, size_t size)
{
    size_t n = strcspn(*at, " ");
    if (n == 0 || n >= size || (*at)[n] != ' ')
        return false;
    memcpy(to, *at, n);
    to[n] = '\0';
    *at += n + 1;
    return true;
}

/* RFC 9112, 3.2.1: an absolute path; nothing but visible ASCII. */
static bool is_path(const char *s)
{
    if (*s != '/')
        return false;
    while (*s > 0x20 && *s < 0x7f)
        s++;
    return *s == '\0';
}

static int parse_request(struct bytes in, struct http_request *ret, struct http_header *wanted,
                         size_t count, struct error *err)
{
    char head[HTTP_HEAD_MAX + 1];
    size_t end = 0;
    int r = http_head_end(in, &end, err);
    if (r < 0)
        return r;
    if (r == 0 || end != in.size)
        return malformed(err, "not one whole head");
    memcpy(head, in.data, in.size);
    head[in.size - 2] = '\0'; /* keeps the CRLF of the last header line */
    char *at = head;
    char *line = next_line(&at);
    struct http_request q = {0};
    if (!line || !take_word(&line, q.method, sizeof(q.method)) || !is_token(q.method) ||
        !take_word(&line, q.path, sizeof(q.path)) || !is_path(q.path) ||
        strcmp(line, "HTTP/1.1") != 0)
        return malformed(err, "bad request line");
    struct headers h = {.wanted = wanted, .wanted_count = count};
    for (size_t i = 0; i < count; i++)
        wanted[i].value[0] = '\0';
    r = parse_headers(&h, at, err);
    if (r < 0)
        return r;
    memcpy(q.content_type, h.content_type, sizeof(q.content_type));
    q.content_length = h.content_length;
    *ret = q;
    return 0;
}

int http_parse_request(struct bytes in, struct http_request *ret, struct error *err)
{
    return parse_request(in, ret, NULL, 0, err);
}

int http_read_request(struct http_stream *s, struct http_request *ret, struct error *err)
{
    return http_read_request_with(s, ret, NULL, 0, err);
}

int http_read_request_with(struct http_stream *s, struct http_request *ret,
                           struct http_header *wanted, size_t count, struct error *err)
{
    char head[HTTP_HEAD_MAX + 1];
    size_t size;
    int r = read_head(s, head, &size, err);
    return r < 0 ? r : parse_request(BYTES(head, size), ret, wanted, count, err);
}

int http_read_response(struct http_stream *s, struct http_response *ret, struct error *err)
{
    char head[HTTP_HEAD_MAX + 1];
    size_t size;
    int r = read_head(s, head, &size, err);
    if (r < 0)
        return r;
    head[size - 2] = '\0';
    char *at = head;
    char *line = next_line(&at);
    char version[16];
    /* "HTTP/1.1 200 OK" (RFC 9112, 4): the reason may be empty, its blank may not. */
    if (!line || !take_word(&line, version, sizeof(version)) || strcmp(version, "HTTP/1.1") != 0 ||
        strspn(line, "0123456789") != 3 || line[3] != ' ' || line[0] < '1' || line[0] > '5')
        return malformed(err, "bad status line");
    struct http_response a = {.status =
                                  (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0'};
    struct headers h = {0};
    r = parse_headers(&h, at, err);
    if (r < 0)
        return r;
    if (!h.has_length && a.status != 204) /* which has no body (RFC 9110, 15.3.5) */
        return malformed(err, "a response without Content-Length");
    if (a.status == 204 && h.content_length > 0)
        return malformed(err, "a body where none can be");
    memcpy(a.content_type, h.content_type, sizeof(a.content_type));
    a.content_length = h.content_length;
    *ret = a;
    return 0;
}

int http_read_body(struct http_stream *s, void *p, size_t n, struct error *err)
{
    for (uint8_t *b = p; n > 0;) {
        ssize_t got = s->read(s->arg, b, n, err);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return error_set(err, ENODATA, "HTTP: the body ends %zu bytes early", n);
        b += got;
        n -= (size_t)got;
    }
    return 0;
}

/* ---- writing ---- */
int http_write_request(struct http_stream *s, const char *method, const char *path,
                       const char *content_type, struct bytes body, struct error *err)
{
    char head[512];
    int n = snprintf(head, sizeof(head),
                     "%s %s HTTP/1.1\r\nHost: broker\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "Connection: close\r\n\r\n",
                     method, path, content_type, body.size);
    if (n < 0 || (size_t)n >= sizeof(head))
        return error_set(err, EFBIG, "HTTP: request head too long");
    int r = s->write(s->arg, head, (size_t)n, err);
    return r < 0 ? r : s->write(s->arg, body.data, body.size, err);
}

int http_response_head(int status, const char *content_type, size_t body_size,
                       char ret[HTTP_RESPONSE_HEAD_SIZE], struct error *err)
{
    int n = snprintf(ret, HTTP_RESPONSE_HEAD_SIZE,
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                     status, http_reason(status), content_type, body_size);
    if (n < 0 || n >= HTTP_RESPONSE_HEAD_SIZE)
        return error_set(err, EFBIG, "HTTP: response head too long");
    return n;
}

int http_write_response(struct http_stream *s, int status, const char *content_type,
                        struct bytes body, struct error *err)
{
    char head[HTTP_RESPONSE_HEAD_SIZE];
    int r = http_response_head(status, content_type, body.size, head, err);
    if (r < 0)
        return r;
    r = s->write(s->arg, head, (size_t)r, err);
    return r < 0 ? r : s->write(s->arg, body.data, body.size, err);
}
