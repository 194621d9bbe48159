#include "request.h"
#include "base/json.h"
#include "cli/dial.h"
#include "crypto/tls.h"
#include "crypto/volume_key.h"
#include "protocol/channel.h"
#include "protocol/http.h"
#include "protocol/release.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define BETWEEN_NANOSECONDS 50000000

static int make_body(const struct fleet *f, struct tls *t, const uint8_t volume[16],
                     struct buffer *ret, struct error *err)
{
    uint8_t exporter[CHANNEL_EXPORTER_SIZE], challenge[CHALLENGE_SIZE];
    int r = tls_exporter(t, exporter, sizeof(exporter), CHANNEL_EXPORTER_LABEL, err);
    if (r == 0)
        r = channel_challenge(challenge, exporter, err);
    return r < 0 ? r : machine_evidence(f->kind, volume, challenge, ret, err);
}

static void note_refusal(struct answer *a, int status, struct bytes body)
{
    _json_ json_t *o = NULL;
    const char *id = "", *code = "";
    if (json_parse(&o, body, "answer", NULL) == 0) {
        (void)!json_get_string(o, "id", &id, "answer", NULL);
        (void)!json_get_string(o, "code", &code, "answer", NULL);
    }
    snprintf(a->id, sizeof(a->id), "%s", id);
    snprintf(a->text, sizeof(a->text), "status %d, %s", status, code);
    a->outcome = status >= 500 ? OUTCOME_UNAVAILABLE : OUTCOME_DENIED;
}

static int read_answer(struct http_stream *s, struct answer *a, struct error *err)
{
    struct http_response h;
    struct digest d;
    uint8_t body[512];
    int r = http_read_response(s, &h, err);
    if (r == 0 && h.content_length > sizeof(body))
        r = error_set(err, EFBIG, "an answer of %llu bytes", (unsigned long long)h.content_length);
    if (r == 0)
        r = http_read_body(s, body, (size_t)h.content_length, err);
    if (r < 0)
        return r;
    if (h.status != 200) {
        note_refusal(a, h.status, BYTES(body, h.content_length));
        return 0;
    }
    if (h.content_length != VOLUME_SECRET_SIZE)
        return error_set(err, EPROTO, "a secret of %llu bytes",
                         (unsigned long long)h.content_length);
    r = digest_compute(&d, HASH_SHA256, BYTES(body, VOLUME_SECRET_SIZE));
    wipe(body, sizeof(body));
    if (r == 0) {
        digest_hex(&d, a->secret_sha256);
        a->outcome = OUTCOME_RELEASED;
    }
    return r;
}

static int attempt(const struct fleet *f, const struct target *to, const uint8_t volume[16],
                   uint64_t deadline, struct answer *a, struct error *err)
{
    _close_ int fd = dial(to->host, to->port, deadline, err);
    _tls_ struct tls *t = NULL;
    _buffer_ struct buffer body = {0};
    struct http_tls over = {.deadline = deadline};
    if (fd < 0)
        return fd;
    int r = tls_connect(&t, fd, &f->pin, 1, deadline, err);
    if (r < 0)
        return r;
    over.tls = t;
    struct http_stream s = http_over_tls(&over);
    r = make_body(f, t, volume, &body, err);
    if (r == 0)
        r = http_write_request(&s, "POST", RELEASE_PATH, "application/json", buffer_bytes(&body),
                               err);
    return r < 0 ? r : read_answer(&s, a, err);
}

void request_make(const struct fleet *f, uint64_t number, struct answer *ret)
{
    uint64_t give_up = clock_now() + f->patience;
    const uint8_t *volume = f->volumes[number % f->volume_count];
    *ret = (struct answer){.outcome = OUTCOME_FAILED};
    do {
        const struct target *to = &f->brokers[(number + ret->attempts) % f->broker_count];
        struct error err = {0};
        if (ret->attempts++)
            nanosleep(&(struct timespec){.tv_nsec = BETWEEN_NANOSECONDS}, NULL);
        int r = attempt(f, to, volume, clock_now() + f->limit, ret, &err);
        if (r < 0) {
            ret->outcome = OUTCOME_FAILED;
            snprintf(ret->text, sizeof(ret->text), "%.255s", err.text);
        }
    } while (ret->outcome > OUTCOME_DENIED && clock_now() < give_up);
}
