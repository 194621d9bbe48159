#include "agent/release_client.h"

#include "base/json.h"
#include "crypto/tls.h"
#include "crypto/volume_key.h"
#include "platform/platform.h"
#include "protocol/channel.h"
#include "protocol/evidence.h"
#include "protocol/http.h"
#include "protocol/release.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define HANDSHAKE_TIME SECONDS(10)
#define EXCHANGE_TIME SECONDS(60)
#define REFUSAL_MAX 1024

/* The platform's interface serves one at a time. */
static pthread_mutex_t platform_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- evidence ---- */
static int collect_locked(struct evidence *e, const uint8_t challenge[CHALLENGE_SIZE],
                          struct error *err)
{
    for (const struct platform_attester *const *a = platform_attesters; *a; a++)
        if ((*a)->present())
            return error_prefix(err, (*a)->collect(e, challenge, err), "collecting evidence");
    return error_set(err, ENODEV, "no attestation interface");
}

static int collect(struct evidence *e, const uint8_t challenge[CHALLENGE_SIZE], struct error *err)
{
    struct timespec limit;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += (time_t)(EXCHANGE_TIME / SECONDS(1));
    int busy = pthread_mutex_clocklock(&platform_lock, CLOCK_MONOTONIC, &limit);
    if (busy)
        return error_errno(err, busy, "waiting for the attestation interface");
    int r = collect_locked(e, challenge, err);
    pthread_mutex_unlock(&platform_lock);
    return r;
}

static int make_evidence(struct tls *tls, const struct agent_config *config, struct buffer *ret,
                         struct error *err)
{
    uint8_t exporter[CHANNEL_EXPORTER_SIZE];
    uint8_t challenge[CHALLENGE_SIZE];
    _evidence_ struct evidence e = {0};
    int r;
    if ((r = tls_exporter(tls, exporter, sizeof(exporter), CHANNEL_EXPORTER_LABEL, err)) < 0 ||
        (r = channel_challenge(challenge, exporter, err)) < 0 ||
        (r = collect(&e, challenge, err)) < 0)
        return r;
    memcpy(e.volume, config->volume_uuid, sizeof(e.volume));
    return evidence_format(&e, ret, err);
}

/* ---- the answer ---- */
/* Code and correlation id, for the operator who reads the console; only in plain characters. */
static void copy_plain(char *ret, size_t size, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = strspn(text, plain);
    if (n >= size)
        n = size - 1;
    memcpy(ret, text, n);
    ret[n] = '\0';
}

/* protocol/release.h */
static const struct {
    int status;
    const char *code; /* NULL: any */
    const char *text;
} refusals[] = {
    {403, "pending", "the broker waits for an operator's approval"},
    {503, NULL, "the broker cannot decide at present"},
    {0, NULL, "the broker refused"},
};

static const char *refusal_text(int status, const char *code)
{
    size_t i = 0;
    while (refusals[i].status && (refusals[i].status != status ||
                                  (refusals[i].code && strcmp(refusals[i].code, code) != 0)))
        i++;
    return refusals[i].text;
}

int release_refusal(int status, struct bytes body, struct error *err)
{
    char code[32] = "no code";
    char id[64] = "none";
    const char *text = NULL;
    _json_ json_t *o = NULL;
    if (json_parse(&o, body, "answer", NULL) == 0 && json_is_object(o)) {
        if (json_get_string(o, "code", &text, "answer", NULL) == 0)
            copy_plain(code, sizeof(code), text);
        if (json_get_string(o, "id", &text, "answer", NULL) == 0)
            copy_plain(id, sizeof(id), text);
    }
    return error_set(err, EACCES, "%s (%s, status %d, id %s)", refusal_text(status, code), code,
                     status, id);
}

static int refused(struct http_stream *s, const struct http_response *h, struct error *err)
{
    char body[REFUSAL_MAX];
    size_t size = h->content_length < sizeof(body) ? (size_t)h->content_length : sizeof(body);
    if (http_read_body(s, body, size, NULL) < 0)
        size = 0;
    return release_refusal(h->status, BYTES(body, size), err);
}

static int read_secret(struct http_stream *s, const struct http_response *h, struct secret **ret,
                       struct error *err)
{
    if (h->content_length != VOLUME_SECRET_SIZE)
        return error_set(err, EPROTO, "the broker sent %llu bytes, expected a secret of %d",
                         (unsigned long long)h->content_length, VOLUME_SECRET_SIZE);
    _secret_ struct secret *secret = secret_new(VOLUME_SECRET_SIZE);
    if (!secret)
        return error_set(err, ENOMEM, "cannot lock memory for the secret");
    int r = http_read_body(s, secret_data(secret), secret_size(secret), err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(secret);
    return 0;
}

static int ask(struct tls *tls, struct bytes evidence, uint64_t deadline, struct secret **ret,
               struct error *err)
{
    struct http_tls over = {.tls = tls, .deadline = deadline};
    struct http_stream s = http_over_tls(&over);
    struct http_response h;
    int r;
    if ((r = http_write_request(&s, "POST", RELEASE_PATH, "application/json", evidence, err)) < 0 ||
        (r = http_read_response(&s, &h, err)) < 0)
        return r;
    return h.status == 200 ? read_secret(&s, &h, ret, err) : refused(&s, &h, err);
}

int release_fetch(const struct release_client *c, int fd, struct secret **ret, struct error *err)
{
    uint64_t start = clock_now();
    uint64_t deadline = start + EXCHANGE_TIME;
    _tls_ struct tls *tls = NULL;
    int r =
        tls_connect(&tls, fd, c->config->pins, c->config->pin_count, start + HANDSHAKE_TIME, err);
    if (r < 0)
        return r;
    if (c->authenticated)
        c->authenticated(c->arg);
    _buffer_ struct buffer evidence = {.max = EVIDENCE_JSON_MAX};
    r = make_evidence(tls, c->config, &evidence, err);
    return r < 0 ? r : ask(tls, buffer_bytes(&evidence), deadline, ret, err);
}
