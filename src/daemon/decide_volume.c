#include "daemon/decide_volume.h"
#include "base/hex.h"
#include "crypto/digest.h"
#include "daemon/seals.h"

#include <inttypes.h>
#include <string.h>

#define PENDING_SECONDS 3600 /* a request that no guest repeats for so long is forgotten */

static void format_time(time_t t, char ret[32])
{
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(ret, 32, "%lld", (long long)t);
}

/* ---- what the volume says by itself ---- */
/* One that nobody can say of, since the key is not here, is the broker's fault, as is a secret that
 * cannot be had. */
static int check_seal(struct decision_case *c, int r, const char *expected, const struct error *why)
{
    if (r == 0)
        return 0;
    finding_add(&c->findings, "volume.seal", VERDICT_REJECT, expected, why->text);
    finding_remedy(&c->findings, "%s", why->hint);
    if (r != -EBADMSG)
        c->outcome = OUTCOME_UNAVAILABLE;
    return r;
}

static int check_volume_seal(const struct decider *d, const struct store_volume *v,
                             struct decision_case *c)
{
    struct error why = {0};
    int r = volume_check_seal(v, d->seals, &why);
    if (r == 0 && c->said.edition == EDITION_UNSEALED)
        r = volume_not_sealed(v, "its policy was", &why);
    return check_seal(c, r, "a volume as an administrator left it", &why);
}

static int check_request_seal(const struct decider *d, const struct store_request *q,
                              struct decision_case *c)
{
    struct error why = {0};
    int r = request_check_seal(q, d->seals, &why);
    return check_seal(c, r, "a decision by an administrator", &why);
}

static void check_enabled(const struct store_volume *v, struct findings *f)
{
    if (!v->enabled)
        finding_add(f, "volume.enabled", VERDICT_REJECT, "an enabled volume", "it is disabled");
}

static void check_window(const struct store_volume *v, time_t now, struct findings *f)
{
    char found[32], limit[32], expected[64];
    format_time(now, found);
    if (v->not_before && now < v->not_before) {
        format_time(v->not_before, limit);
        snprintf(expected, sizeof(expected), "not before %s", limit);
        finding_add(f, "volume.window", VERDICT_REJECT, expected, found);
    }
    if (v->not_after && now > v->not_after) {
        format_time(v->not_after, limit);
        snprintf(expected, sizeof(expected), "not after %s", limit);
        finding_add(f, "volume.window", VERDICT_REJECT, expected, found);
    }
}

/* The last `rate_seconds` seconds, this one included; a release of this transaction counts, too. A
 * clock that went back makes the limit stricter: what is recorded of later counts. */
static int check_rate(const struct decider *d, const struct store_volume *v, time_t now,
                      struct findings *f, struct error *err)
{
    uint64_t granted;
    if (!v->rate_count)
        return 0;
    int r = store_audit_count_granted(d->store, v->uuid, now - (time_t)v->rate_seconds + 1,
                                      &granted, err);
    if (r < 0 || granted < v->rate_count)
        return r;
    char expected[64];
    snprintf(expected, sizeof(expected), "at most %" PRIu32 " in %" PRIu32 " s", v->rate_count,
             v->rate_seconds);
    finding_addf(f, "volume.rate", VERDICT_REJECT, expected, "%" PRIu64 " releases", granted);
    return 0;
}

/* ---- what an operator says ---- */
static void see(struct store_request *q, const struct decision_case *c, time_t now)
{
    q->seen = now;
    q->count += q->count < UINT32_MAX;
    snprintf(q->peer, sizeof(q->peer), "%s", c->peer);
}

static int keep(const struct decider *d, struct store_request *q, struct error *err)
{
    int r = request_seal(q, d->seals, err);
    return r < 0 ? r : store_request_put(d->store, q, err);
}

static int ask(const struct decider *d, struct store_request *q, struct decision_case *c,
               time_t now, struct error *err)
{
    time_t patience = d->approval_seconds > PENDING_SECONDS ? d->approval_seconds : PENDING_SECONDS;
    q->expires = now + patience;
    q->state = STORE_REQUEST_PENDING;
    c->outcome = OUTCOME_PENDING;
    finding_addf(&c->findings, "volume.approval", VERDICT_REJECT, "an operator's approval",
                 "request %s waits for one", q->id);
    return keep(d, q, err);
}

static int ask_anew(const struct decider *d, struct decision_case *c, time_t now, struct error *err)
{
    struct store_request q = {.created = now};
    memcpy(q.id, c->id, sizeof(q.id));
    memcpy(q.volume, c->said.volume, sizeof(q.volume));
    memcpy(q.attester, c->said.attester, sizeof(q.attester));
    see(&q, c, now);
    return ask(d, &q, c, now, err);
}

static int be_denied(const struct decider *d, struct store_request *q, struct decision_case *c,
                     struct error *err)
{
    finding_addf(&c->findings, "volume.approval", VERDICT_REJECT, "an operator's approval",
                 "%.100s denied request %s", q->decided_by, q->id);
    return keep(d, q, err);
}

/* ---- the secret ---- */
static int unwrap(const struct decider *d, const struct store_volume *v, struct secret **ret,
                  struct error *err)
{
    int r = kek_unwrap(d->ring, v->uuid, buffer_bytes(&v->wrapped), ret, err);
    if (r == 0 && secret_size(*ret) != VOLUME_SECRET_SIZE) {
        secret_free(TAKE_PTR(*ret));
        r = error_set(err, EINVAL, "volume secret: expected %d bytes", VOLUME_SECRET_SIZE);
    }
    return r;
}

/* A secret that cannot be had is the broker's fault, which the record names and the guest is not
 * told; it is no failure of the store. */
static bool get_secret(const struct decider *d, const struct store_volume *v,
                       struct decision_case *c)
{
    struct error err = {0};
    if (unwrap(d, v, &c->secret, &err) == 0)
        return true;
    finding_add(&c->findings, "secret", VERDICT_REJECT, "the volume's secret", err.text);
    if (err.hint[0])
        finding_remedy(&c->findings, "%s", err.hint);
    c->outcome = OUTCOME_UNAVAILABLE;
    return false;
}

static int release(const struct decider *d, const struct store_volume *v, struct decision_case *c)
{
    if (get_secret(d, v, c))
        c->outcome = OUTCOME_RELEASED;
    return 0;
}

/* Once: an approval that a release used is none any more. */
static int release_approved(const struct decider *d, const struct store_volume *v,
                            struct store_request *q, struct decision_case *c, struct error *err)
{
    if (get_secret(d, v, c)) {
        finding_addf(&c->findings, "volume.approval", VERDICT_PASS, "an operator's approval",
                     "%.100s approved request %s", q->decided_by, q->id);
        c->outcome = OUTCOME_RELEASED;
        q->state = STORE_REQUEST_USED;
    }
    return keep(d, q, err);
}

static int release_if_approved(const struct decider *d, const struct store_volume *v,
                               struct decision_case *c, time_t now, struct error *err)
{
    struct store_request q;
    int r = store_request_find(d->store, v->uuid, c->said.attester, now, &q, err);
    if (r == -ENOENT)
        return ask_anew(d, c, now, err);
    if (r < 0)
        return r;
    r = q.state == STORE_REQUEST_PENDING ? 0 : check_request_seal(d, &q, c);
    if (r < 0 && r != -EBADMSG)
        return 0;
    see(&q, c, now);
    if (q.state == STORE_REQUEST_DENIED && r == 0)
        return be_denied(d, &q, c, err);
    if (q.state == STORE_REQUEST_APPROVED && r == 0)
        return release_approved(d, v, &q, c, err);
    q.decided_by[0] = '\0'; /* nobody who may decide did */
    return ask(d, &q, c, now, err);
}

/* ---- the policy ---- */
/* The wrapped secret has a nonce in it that no other has. Wrapped anew it makes policies stale that
 * are not, which costs one more appraisal. All of it is sealed: nobody else chooses it, to have two
 * states of a volume with one edition, the policy of one and the settings of the other. */
int volume_edition(const struct store_volume *v, uint64_t *ret, struct error *err)
{
    struct digest d;
    uint8_t revision[8];
    put_le64(revision, v->revision);
    struct digest_stream *s = digest_begin(HASH_SHA256);
    digest_update(s, revision, sizeof(revision));
    digest_update(s, v->wrapped.data, v->wrapped.size);
    digest_update(s, v->effective_sha256, sizeof(v->effective_sha256));
    if (digest_finish(s, &d) < 0)
        return error_set(err, EIO, "SHA-256 failed");
    memcpy(ret, d.bytes, sizeof(*ret));
    *ret |= 1;
    return 0;
}

/* By another policy than the volume has now. */
static bool is_stale(const struct decision_case *c)
{
    uint64_t by = c->said.edition;
    return by != c->edition && by != EDITION_UNSEALED && by != EDITION_UNREADABLE;
}

/* ---- the decision ---- */
static int unreadable(struct decision_case *c)
{
    finding_add(&c->findings, "policy", VERDICT_REJECT, "a policy that can be read",
                "the store did not give it");
    c->outcome = OUTCOME_UNAVAILABLE;
    return 0;
}

static int unknown(struct decision_case *c)
{
    char volume[UUID_TEXT_SIZE];
    uuid_format(c->said.volume, volume);
    finding_add(&c->findings, "volume.known", VERDICT_REJECT, "a volume of this broker", volume);
    return 0;
}

int decide_volume(const struct decider *d, struct decision_case *c, time_t now, struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    c->outcome = OUTCOME_DENIED;
    int r = store_volume_get(d->store, c->said.volume, &v, err);
    if (r == -ENOENT)
        return unknown(c);
    if (r < 0)
        return r;
    memcpy(c->name, v.name, sizeof(c->name));
    r = volume_edition(&v, &c->edition, err);
    if (r < 0 || is_stale(c)) {
        c->outcome = OUTCOME_STALE;
        return r;
    }
    if (c->said.edition == EDITION_UNREADABLE)
        return unreadable(c);
    r = check_volume_seal(d, &v, c);
    if (r < 0 && r != -EBADMSG)
        return 0;
    check_enabled(&v, &c->findings);
    check_window(&v, now, &c->findings);
    r = check_rate(d, &v, now, &c->findings, err);
    /* The verdict is findings_pass() and nothing else: a rejection above ends here. */
    if (r < 0 || !findings_pass(&c->findings))
        return r;
    if (v.approval == STORE_APPROVAL_MANUAL)
        return release_if_approved(d, &v, c, now, err);
    return release(d, &v, c);
}
