#include "broker/release.h"
#include "base/hex.h"
#include "crypto/volume_key.h"

#include <string.h>
#include <sys/random.h>

int release_make_id(char ret[RELEASE_ID_SIZE], struct error *err)
{
    uint8_t random[(RELEASE_ID_SIZE - 1) / 2];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return error_set(err, EIO, "no random numbers");
    hex_encode(BYTES_OF(random), ret);
    return 0;
}

int release_answer_begin(struct release_answer *ret, struct error *err)
{
    *ret = (struct release_answer){0};
    int r = release_make_id(ret->id, err);
    release_answer_refuse(ret, 503, "unavailable");
    return r;
}

void release_answer_refuse(struct release_answer *a, int status, const char *code)
{
    secret_free(TAKE_PTR(a->secret));
    a->status = status;
    snprintf(a->body, sizeof(a->body), "{\"code\": \"%s\", \"id\": \"%s\"}\n", code, a->id);
}

void release_answer_free(struct release_answer *a)
{
    secret_free(a->secret);
    *a = (struct release_answer){0};
}

/* ---- the verdict ---- */
int release_read(struct evidence *ret, struct bytes request,
                 const uint8_t exporter[CHANNEL_EXPORTER_SIZE], struct findings *f,
                 struct error *err)
{
    _evidence_ struct evidence e = {0};
    int r = evidence_parse(&e, request, "request", err);
    if (r < 0) {
        /* Whoever sends what is no evidence is refused too: the operator must find it. */
        finding_add(f, "request", VERDICT_REJECT, "readable evidence", err ? err->text : NULL);
        return r;
    }
    /* Whatever the guest may have written there: the challenge is this connection's. */
    r = channel_challenge(e.challenge, exporter, err);
    if (r < 0)
        return r;
    e.has_challenge = true;
    *ret = e;
    e = (struct evidence){0};
    return 0;
}

/* The request belongs to the volume that is served? */
static void check_volume(const uint8_t *volume, const struct evidence *e, struct findings *f)
{
    char expected[UUID_TEXT_SIZE], found[UUID_TEXT_SIZE];
    if (!volume)
        return;
    uuid_format(volume, expected);
    uuid_format(e->volume, found);
    bool same = memcmp(volume, e->volume, 16) == 0;
    finding_add(f, "volume", same ? VERDICT_PASS : VERDICT_REJECT, expected, found);
}

int release_appraise(const struct evidence *e, const uint8_t *volume,
                     const struct appraisal_policy *policy, struct findings *f, struct error *err)
{
    check_volume(volume, e, f);
    return appraise(e, e->challenge, policy, f, err);
}

/* ---- the handler ---- */
static int get_secret(const struct release_context *c, const struct evidence *e,
                      struct secret **ret, struct error *err)
{
    int r = c->secret(c->arg, e->volume, ret, err);
    if (r == 0 && secret_size(*ret) != VOLUME_SECRET_SIZE) {
        secret_free(TAKE_PTR(*ret));
        r = error_set(err, EINVAL, "volume secret: expected %d bytes", VOLUME_SECRET_SIZE);
    }
    return r;
}

/* The verdict is findings_pass() and nothing else. */
static int decide(const struct release_context *c, struct bytes request, const struct evidence *e,
                  struct release_answer *a, struct error *err)
{
    _findings_ struct findings f = {0};
    _secret_ struct secret *s = NULL;
    int r = release_appraise(e, c->volume, c->policy, &f, err);
    bool granted = r == 0 && findings_pass(&f);
    int got = granted ? get_secret(c, e, &s, err) : 0;
    if (got < 0) {
        finding_add(&f, "secret", VERDICT_REJECT, "the volume's secret", err ? err->text : NULL);
        granted = false;
    }
    const struct release_record decision = {
        .id = a->id, .request = request, .evidence = e, .findings = &f, .granted = granted};
    r = c->record(c->arg, &decision, err);
    if (r < 0 || got < 0) {
        release_answer_refuse(a, 503, "unavailable");
        return r < 0 ? r : got;
    }
    if (!granted) {
        release_answer_refuse(a, 403, "denied");
        return 0;
    }
    a->secret = TAKE_PTR(s);
    a->status = 200;
    return 0;
}

static int refuse_unreadable(const struct release_context *c, struct bytes request,
                             const struct findings *f, struct release_answer *a, struct error *err)
{
    const struct release_record decision = {.id = a->id, .request = request, .findings = f};
    int r = c->record(c->arg, &decision, err);
    release_answer_refuse(a, r < 0 ? 503 : 400, r < 0 ? "unavailable" : "bad-request");
    return r;
}

int release_handle(const struct release_context *c, struct bytes request,
                   const uint8_t exporter[CHANNEL_EXPORTER_SIZE], struct release_answer *ret,
                   struct error *err)
{
    int r = release_answer_begin(ret, err);
    if (r < 0)
        return r;
    _evidence_ struct evidence e = {0};
    _findings_ struct findings unreadable = {0};
    r = release_read(&e, request, exporter, &unreadable, err);
    if (r == 0)
        return decide(c, request, &e, ret, err);
    int recorded = unreadable.count ? refuse_unreadable(c, request, &unreadable, ret, err) : 0;
    return recorded < 0 ? recorded : r;
}
