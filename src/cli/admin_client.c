#include "cli/admin_client.h"
#include "base/secret.h"
#include "crypto/tls.h"
#include "protocol/http.h"

#include <ctype.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_SECONDS 10

/* ---- the stream ---- */
struct plain { /* a UNIX socket */
    int fd;
    uint64_t deadline;
};

static int wait_for(const struct plain *p, short events, struct error *err)
{
    for (;;) {
        uint64_t now = clock_now();
        if (now >= p->deadline)
            return error_set(err, ETIMEDOUT, "no answer in time");
        uint64_t ms = (p->deadline - now) / 1000000u + 1;
        struct pollfd f = {.fd = p->fd, .events = events};
        int r = poll(&f, 1, ms > 60000 ? 60000 : (int)ms);
        if (r > 0)
            return 0;
        if (r < 0 && errno != EINTR)
            return error_errno(err, errno, "waiting");
    }
}

static ssize_t plain_read(void *arg, void *to, size_t n, struct error *err)
{
    const struct plain *p = arg;
    for (;;) {
        int r = wait_for(p, POLLIN, err);
        if (r < 0)
            return r;
        ssize_t got = recv(p->fd, to, n, MSG_DONTWAIT);
        if (got >= 0)
            return got;
        if (errno != EAGAIN && errno != EINTR)
            return error_errno(err, errno, "reading");
    }
}

static int plain_write(void *arg, const void *from, size_t n, struct error *err)
{
    const struct plain *p = arg;
    for (const uint8_t *b = from; n > 0;) {
        int r = wait_for(p, POLLOUT, err);
        if (r < 0)
            return r;
        ssize_t put = send(p->fd, b, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            return error_errno(err, errno, "writing");
        b += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
    return 0;
}

/* ---- one exchange ---- */
struct answer {
    int status;
    char content_type[64];
    struct buffer body;
};

static void answer_free(struct answer *a)
{
    wipe(a->body.data, a->body.size);
    buffer_free(&a->body);
}

static int send_request(struct http_stream *s, const char *method, const char *path,
                        const char *body, struct error *err)
{
    _buffer_ struct buffer head = {0};
    /* X-Encroot-Admin: no page of a browser can send that unasked. Host: of the names that the
     * socket takes. */
    int r = buffer_printf(&head,
                          "%s %s HTTP/1.1\r\nHost: localhost\r\nX-Encroot-Admin: 1\r\n"
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n"
                          "Connection: close\r\n\r\n",
                          method, path, body ? strlen(body) : 0);
    if (r < 0)
        return error_set(err, -r, "request too long");
    r = s->write(s->arg, head.data, head.size, err);
    return r < 0 || !body ? r : s->write(s->arg, body, strlen(body), err);
}

static int receive(struct http_stream *s, struct answer *ret, struct error *err)
{
    struct http_response head;
    int r = http_read_response(s, &head, err);
    if (r < 0)
        return r;
    if (head.content_length > ADMIN_ANSWER_MAX)
        return error_set(err, EPROTO, "the answer has %llu bytes, at most %zu MiB are read",
                         (unsigned long long)head.content_length, ADMIN_ANSWER_MAX >> 20);
    ret->status = head.status;
    memcpy(ret->content_type, head.content_type, sizeof(ret->content_type));
    size_t n = (size_t)head.content_length;
    if (buffer_reserve(&ret->body, n + 1) < 0)
        return error_set(err, ENOMEM, "out of memory");
    ret->body.size = n; /* before it is filled: what came of it is wiped in any case */
    memset(ret->body.data, 0, n);
    return http_read_body(s, ret->body.data, n, err);
}

/* Who refuses a request may do so before it was read to its end. */
static int exchange(struct http_stream *s, const char *method, const char *path, const char *body,
                    struct answer *ret, struct error *err)
{
    struct error second = {0};
    int r = send_request(s, method, path, body, err);
    if (r != -EPIPE && r != -ECONNRESET)
        return r < 0 ? r : receive(s, ret, err);
    int why = receive(s, ret, &second);
    if (why == -EKEYREJECTED)
        *err = second;
    return why == 0 || why == -EKEYREJECTED ? why : r;
}

static int over_tls(const struct admin_client *c, int fd, uint64_t deadline, const char *method,
                    const char *path, const char *body, struct answer *ret, struct error *err)
{
    _tls_identity_ struct tls_identity *id = NULL;
    _tls_ struct tls *tls = NULL;
    int r = tls_identity_load(&id, c->key, c->certificate, err);
    if (r < 0)
        return r;
    r = tls_connect_as(&tls, fd, id, c->pin, deadline, err);
    if (r == -EKEYREJECTED)
        error_hint(err, r,
                   "compare --pin with the certificate at the broker: encroot evidence "
                   "inspect admin.pem");
    struct http_tls arg = {.tls = tls, .deadline = deadline};
    struct http_stream s = http_over_tls(&arg);
    if (r < 0)
        return error_prefix(err, r, "%s", c->address.text);
    r = exchange(&s, method, path, body, ret, err);
    if (r == -EKEYREJECTED)
        error_hint(err, r, "the broker must know it: admin-client in encrootd.conf(5)");
    return r < 0 ? error_prefix(err, r, "%s", c->address.text) : 0;
}

static int perform(const struct admin_client *c, const char *method, const char *path,
                   const char *body, struct answer *ret, struct error *err)
{
    uint64_t now = clock_now();
    uint64_t connect = c->seconds < CONNECT_SECONDS ? c->seconds : CONNECT_SECONDS;
    _close_ int fd = admin_dial(&c->address, now + SECONDS(connect), err);
    if (fd < 0)
        return fd;
    uint64_t deadline = now + SECONDS(c->seconds);
    int r;
    if (c->address.tls) {
        r = over_tls(c, fd, deadline, method, path, body, ret, err);
    } else {
        struct plain p = {.fd = fd, .deadline = deadline};
        struct http_stream s = {.read = plain_read, .write = plain_write, .arg = &p};
        r = exchange(&s, method, path, body, ret, err);
        r = r < 0 ? error_prefix(err, r, "%s", c->address.text) : 0;
    }
    if (r == -ETIMEDOUT)
        return error_hint(err, r, "--timeout gives it longer than %llu s",
                          (unsigned long long)c->seconds);
    if (r == -EFBIG) /* a head beyond all bounds; nothing of ours is too large */
        return -EPROTO;
    /* It left in the middle, whatever the socket calls that. */
    return r == -ENODATA || r == -EPIPE ? -ECONNRESET : r;
}

/* ---- what an answer says ---- */
static const struct {
    int status, code;
} refusals[] = {
    {400, EINVAL}, {403, EKEYREJECTED}, {404, ENOENT},    {405, EINVAL},
    {409, EBUSY},  {413, EFBIG},        {503, EHOSTDOWN},
};

static int refusal(const struct admin_client *c, const struct answer *a, struct error *err)
{
    struct error ignored;
    _json_ json_t *j = NULL;
    int code = EIO;
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
        if (refusals[i].status == a->status)
            code = refusals[i].code;
    const char *text = NULL, *hint = NULL;
    if (json_parse(&j, buffer_bytes(&a->body), "", &ignored) == 0) {
        text = json_string_value(json_object_get(j, "error"));
        hint = json_string_value(json_object_get(j, "hint"));
    }
    int r = text ? error_set(err, code, "%s: %s", c->address.text, text)
                 : error_set(err, code, "%s: answered %d %s and no reason", c->address.text,
                             a->status, http_reason(a->status));
    return hint && *hint ? error_hint(err, r, "%s", hint) : r;
}

static int strange(const struct admin_client *c, const char *what, struct error *err)
{
    int r = error_set(err, EPROTO, "%s: %s", c->address.text, what);
    return error_hint(err, r, "is that the administration of encrootd, and of this version?");
}

static int read_json(const struct admin_client *c, const struct answer *a, json_t **ret,
                     struct error *err)
{
    if (a->status == 204) {
        *ret = NULL;
        return 0;
    }
    if (strcmp(a->content_type, "application/json") != 0)
        return strange(c, "the answer is not application/json", err);
    if (json_parse(ret, buffer_bytes(&a->body), c->address.text, err) < 0)
        return error_prefix(err, -EPROTO, "the answer cannot be read");
    return 0;
}

int admin_call(const struct admin_client *c, const char *method, const char *path,
               const json_t *body, json_t **ret, struct error *err)
{
    _cleanup_(answer_free) struct answer a = {.body = {.max = ADMIN_ANSWER_MAX + 1}};
    _json_ json_t *answer = NULL;
    _free_ char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (body && !text)
        return error_set(err, ENOMEM, "out of memory");
    int r = perform(c, method, path, text, &a, err);
    if (text)
        wipe(text, strlen(text));
    if (r < 0)
        return r;
    if (a.status < 200 || a.status > 299)
        return refusal(c, &a, err);
    r = read_json(c, &a, &answer, err);
    if (r == 0 && ret)
        *ret = TAKE_PTR(answer);
    return r;
}

int admin_get_lines(const struct admin_client *c, const char *path, struct buffer *ret,
                    struct error *err)
{
    _cleanup_(answer_free) struct answer a = {.body = {.max = ADMIN_ANSWER_MAX + 1}};
    int r = perform(c, "GET", path, NULL, &a, err);
    if (r < 0)
        return r;
    if (a.status != 200)
        return refusal(c, &a, err);
    if (strcmp(a.content_type, "application/x-ndjson") != 0)
        return strange(c, "the answer is not application/x-ndjson", err);
    return buffer_append(ret, a.body.data, a.body.size) < 0
               ? error_set(err, ENOMEM, "out of memory")
               : 0;
}

char *admin_path(const char *before, const char *text, const char *behind)
{
    _buffer_ struct buffer b = {0};
    int r = buffer_append(&b, before, strlen(before));
    for (const unsigned char *p = (const unsigned char *)text; r == 0 && *p; p++)
        r = buffer_printf(&b, isalnum(*p) || strchr("-_.~", *p) ? "%c" : "%%%02X", *p);
    if (r == 0)
        r = buffer_append(&b, behind, strlen(behind) + 1);
    return r < 0 ? NULL : (char *)TAKE_PTR(b.data);
}

/* ---- secrets in JSON ---- */
static void free_wiped(void *p)
{
    if (p)
        wipe(p, malloc_usable_size(p));
    free(p);
}

void admin_wipe_json(void)
{
    json_set_alloc_funcs(malloc, free_wiped);
}
