/*
 * The appraiser: reads what guests sent, appraises it, tells the keeper what it found. It parses
 * hostile bytes and holds nothing but its own front's requests and the volumes' policies: no
 * secret, no key, no file, no socket but its wires.
 */
#include "base/hex.h"
#include "base/json.h"
#include "crypto/digest.h"
#include "crypto/tls.h"
#include "daemon/confine.h"
#include "daemon/log.h"
#include "daemon/messages.h"
#include "daemon/metrics.h"
#include "daemon/policy_cache.h"
#include "daemon/process.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#define BODIES_MAX ((size_t)64 << 20)
#define WAITING_MAX ((size_t)8 << 20) /* decisions that the keeper did not read yet */

enum work_state {
    WORK_READY, /* to be appraised */
    WORK_WAITS, /* for the policy of its volume */
    WORK_TOLD,  /* the keeper decides */
};

/* A request, until the keeper has decided: it may have to be appraised again. */
struct work {
    uint64_t connection;
    uint8_t exporter[CHANNEL_EXPORTER_SIZE];
    uint8_t volume[16];
    enum work_state state;
    bool answered;    /* the keeper has told what there is of its policy, which may be nothing */
    uint64_t without; /* then: the edition that says why */
    struct buffer body;
    struct work *next;
};

struct appraiser {
    enum evidence_keep keep;
    struct channel control, evidence, decision;
    struct policy_cache policies;
    struct work *first, **end; /* in the order that they came, which is nearly that of decisions */
    size_t bodies;             /* bytes of all works */
};

/* ---- the works ---- */
static size_t work_size(const struct work *w)
{
    return sizeof(*w) + w->body.size;
}

static void work_free(struct work *w)
{
    buffer_free(&w->body);
    free(w);
}

/* Where the pointer to it is; that to NULL if there is none. */
static struct work **find_work(struct appraiser *a, uint64_t connection)
{
    struct work **p = &a->first;
    while (*p && (*p)->connection != connection)
        p = &(*p)->next;
    return p;
}

static void forget_work(struct appraiser *a, struct work **p)
{
    struct work *w = *p;
    a->bodies -= work_size(w);
    *p = w->next;
    if (!*p)
        a->end = p;
    work_free(w);
}

static bool volume_is_awaited(const struct appraiser *a, const uint8_t volume[16])
{
    for (const struct work *w = a->first; w; w = w->next)
        if (w->state == WORK_WAITS && memcmp(w->volume, volume, 16) == 0)
            return true;
    return false;
}

/* ---- one appraisal ---- */
static int send_decision(struct appraiser *a, const struct work *w, struct message_decision *d,
                         const struct findings *f, struct bytes evidence, struct error *err)
{
    _buffer_ struct buffer findings = {0};
    d->passed = findings_pass(f);
    if (a->keep == EVIDENCE_KEEP_NONE) /* else the keeper may still refuse, and keep it */
        evidence = BYTES_NONE;
    int r = digest_sha256(buffer_bytes(&w->body), d->request_sha256, err);
    if (r == 0)
        r = messages_put_findings(f, &findings, err);
    if (r < 0)
        return r;
    d->findings_size = (uint32_t)findings.size;
    d->evidence_size = (uint32_t)evidence.size;
    const struct bytes parts[] = {BYTES(d, sizeof(*d)), buffer_bytes(&findings), evidence};
    return channel_send(&a->decision, MESSAGE_DECISION, w->connection, parts, ARRAY_SIZE(parts),
                        err);
}

/* What was found in `e` by this policy; NULL: there is none, and the keeper says why. */
static void appraise_by(struct cached_policy *p, const struct evidence *e, struct findings *f)
{
    struct error err = {0};
    if (!p)
        return;
    if (!p->policy) {
        finding_add(f, "policy", VERDICT_REJECT, "a policy that can be read", p->problem);
        return;
    }
    p->policy->appraisal.platform.chain.now = time(NULL);
    uint64_t began = clock_now();
    if (release_appraise(e, p->volume, &p->policy->appraisal, f, &err) < 0)
        log_error(LOG_INFO, &err, "appraisal");
    metrics_add(METRIC_APPRAISALS, 1);
    metrics_add(METRIC_APPRAISAL_MICROSECONDS, (clock_now() - began) / 1000);
}

static int decide_readable(struct appraiser *a, const struct work *w, struct cached_policy *p,
                           const struct evidence *e, struct error *err)
{
    _findings_ struct findings f = {0};
    _buffer_ struct buffer text = {0};
    struct message_decision d = {.readable = 1, .edition = p ? p->edition : w->without};
    memcpy(d.volume, e->volume, sizeof(d.volume));
    memcpy(d.platform, e->platform, strnlen(e->platform, sizeof(d.platform) - 1));
    int r = digest_sha256(buffer_bytes(&e->certificate), d.attester, err);
    if (r == 0)
        r = evidence_format(e, &text, err);
    if (r == 0)
        r = digest_sha256(buffer_bytes(&text), d.evidence_sha256, err);
    if (r < 0)
        return r;
    appraise_by(p, e, &f);
    return send_decision(a, w, &d, &f, buffer_bytes(&text), err);
}

static int decide_unreadable(struct appraiser *a, const struct work *w, struct findings *f,
                             const struct error *why, struct error *err)
{
    struct message_decision d = {0};
    if (f->count == 0)
        finding_add(f, "appraisal", VERDICT_REJECT, "a complete appraisal", why->text);
    return send_decision(a, w, &d, f, BYTES_NONE, err);
}

static int want_policy(struct appraiser *a, struct work *w, struct error *err)
{
    bool asked = volume_is_awaited(a, w->volume);
    w->state = WORK_WAITS;
    const struct bytes volume = BYTES_OF(w->volume);
    return asked ? 0 : channel_send(&a->decision, MESSAGE_POLICY_WANTED, 0, &volume, 1, err);
}

static int handle_work(struct appraiser *a, struct work *w, struct error *err)
{
    _evidence_ struct evidence e = {0};
    _findings_ struct findings f = {0};
    struct error why = {0};
    int r = release_read(&e, buffer_bytes(&w->body), w->exporter, &f, &why);
    w->state = WORK_TOLD;
    if (r < 0)
        return decide_unreadable(a, w, &f, &why, err);
    memcpy(w->volume, e.volume, sizeof(w->volume));
    struct cached_policy *p = policy_cache_get(&a->policies, e.volume);
    return p || w->answered ? decide_readable(a, w, p, &e, err) : want_policy(a, w, err);
}

/* ---- messages ---- */
static int take_evidence(struct appraiser *a, const struct frame *f, struct error *err)
{
    if (f->type != MESSAGE_EVIDENCE || f->body.size < CHANNEL_EXPORTER_SIZE ||
        *find_work(a, f->connection))
        return error_set(err, EPROTO, "front: message %u of %zu bytes is out of place", f->type,
                         f->body.size);
    struct work *w = calloc(1, sizeof(*w));
    if (!w || buffer_append(&w->body, f->body.data + CHANNEL_EXPORTER_SIZE,
                            f->body.size - CHANNEL_EXPORTER_SIZE) < 0) {
        free(w);
        return error_set(err, ENOMEM, "out of memory");
    }
    w->connection = f->connection;
    memcpy(w->exporter, f->body.data, sizeof(w->exporter));
    *a->end = w;
    a->end = &w->next;
    a->bodies += work_size(w);
    return 0;
}

static int read_policy(const struct frame *f, struct message_policy *ret, struct error *err)
{
    if (f->body.size < sizeof(*ret))
        return error_set(err, EPROTO, "keeper: a policy of %zu bytes", f->body.size);
    memcpy(ret, f->body.data, sizeof(*ret));
    return 0;
}

static int take_policy(struct appraiser *a, const struct frame *f, struct error *err)
{
    struct message_policy m;
    int r = read_policy(f, &m, err);
    if (r < 0)
        return r;
    struct bytes text = BYTES(f->body.data + sizeof(m), f->body.size - sizeof(m));
    bool none = !edition_is_real(m.edition);
    if (!none)
        r = policy_cache_put(&a->policies, m.volume, m.edition, text, err);
    else
        policy_cache_drop(&a->policies, m.volume);
    for (struct work *w = a->first; w; w = w->next)
        if (w->state == WORK_WAITS && memcmp(w->volume, m.volume, sizeof(m.volume)) == 0) {
            w->state = WORK_READY;
            w->answered = true;
            w->without = none ? m.edition : EDITION_NONE;
        }
    return r;
}

/* Others of the same volume may have had the new policy come already. */
static int take_stale(struct appraiser *a, const struct frame *f, struct error *err)
{
    struct message_policy m;
    int r = read_policy(f, &m, err);
    if (r < 0)
        return r;
    const struct cached_policy *p = policy_cache_get(&a->policies, m.volume);
    if (p && p->edition != m.edition)
        policy_cache_drop(&a->policies, m.volume);
    struct work *w = *find_work(a, f->connection);
    if (w) {
        w->state = WORK_READY;
        w->answered = false;
    }
    return 0;
}

static int take_decided(struct appraiser *a, const struct frame *f, struct error *err)
{
    (void)err;
    struct work **w = find_work(a, f->connection);
    if (*w)
        forget_work(a, w);
    return 0;
}

static int take_of_keeper(struct appraiser *a, const struct frame *f, struct error *err)
{
    static const struct {
        enum message type;
        int (*take)(struct appraiser *a, const struct frame *f, struct error *err);
    } messages[] = {{MESSAGE_POLICY, take_policy},
                    {MESSAGE_STALE, take_stale},
                    {MESSAGE_DECIDED, take_decided}};
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
        if (f->type == messages[i].type)
            return messages[i].take(a, f, err);
    return error_set(err, EPROTO, "keeper: message %u is out of place", f->type);
}

/* ---- the loop ---- */
static bool has_room(const struct appraiser *a)
{
    return a->bodies < BODIES_MAX && channel_waiting(&a->decision) < WAITING_MAX;
}

static struct work *first_ready(const struct appraiser *a)
{
    struct work *w = a->first;
    while (w && w->state != WORK_READY)
        w = w->next;
    return w;
}

/*
 * One thing: an appraisal, which takes long, before what else the keeper says, so that a policy is
 * used before others take its place in the cache; then something new. 0: there is nothing.
 */
static int do_next(struct appraiser *a, struct error *err)
{
    struct frame f;
    bool told_enough = channel_waiting(&a->decision) >= WAITING_MAX;
    struct work *w = told_enough ? NULL : first_ready(a);
    int r = w ? handle_work(a, w, err) : channel_next(&a->decision, &f, err);
    if (!w && r > 0)
        r = take_of_keeper(a, &f, err);
    else if (!w && r == 0) {
        r = has_room(a) ? channel_next(&a->evidence, &f, err) : 0;
        if (r <= 0)
            return r;
        r = take_evidence(a, &f, err);
    }
    return r < 0 ? r : 1;
}

/* `more`: do not wait, only look. */
static int fill_channels(struct appraiser *a, bool more, struct error *err)
{
    bool room = has_room(a);
    struct pollfd p[] = {
        {.fd = a->control.fd, .events = POLLIN},
        {.fd = a->decision.fd,
         .events = (short)(POLLIN | (channel_wants_write(&a->decision) ? POLLOUT : 0))},
        {.fd = room && !a->evidence.ended ? a->evidence.fd : -1, .events = POLLIN},
    };
    if (poll(p, ARRAY_SIZE(p), more ? 0 : -1) < 0)
        return errno == EINTR ? 0 : error_errno(err, errno, "poll");
    int r = 0;
    if (p[0].revents)
        r = channel_fill(&a->control, err);
    if (r == 0 && p[1].revents)
        r = channel_flush(&a->decision, err);
    if (r == 0 && p[1].revents)
        r = channel_fill(&a->decision, err);
    if (r == 0 && p[2].revents)
        r = channel_fill(&a->evidence, err);
    return r;
}

static int serve(struct appraiser *a, struct error *err)
{
    for (;;) {
        int more = do_next(a, err);
        if (more < 0)
            return more;
        /* The front is gone, and nobody waits for the rest. */
        if (a->evidence.ended && !more && !a->first && !channel_wants_write(&a->decision))
            return 0;
        int r = fill_channels(a, more > 0, err);
        if (r < 0)
            return r;
        if (a->control.ended)
            return 0;
        if (a->decision.ended)
            return error_set(err, ECONNRESET, "the keeper ended");
    }
}

static void appraiser_free(struct appraiser *a)
{
    while (a->first)
        forget_work(a, &a->first);
    policy_cache_free(&a->policies);
    channel_free(&a->control);
    channel_free(&a->evidence);
    channel_free(&a->decision);
}

/* OpenSSL reads its configuration when it is first used, which must not be after the filter. */
static int start_crypto(struct error *err)
{
    uint8_t hash[32];
    return digest_sha256(BYTES_NONE, hash, err);
}

int appraiser_run(struct process *p, struct error *err)
{
    _cleanup_(appraiser_free) struct appraiser a = {.keep = p->config->evidence_keep};
    a.end = &a.first;
    channel_init(&a.control, p->fds[WIRE_CONTROL][0]);
    channel_init(&a.evidence, p->fds[WIRE_EVIDENCE][0]);
    channel_init(&a.decision, p->fds[WIRE_DECISION][0]);
    a.evidence.frame_max = CHANNEL_EXPORTER_SIZE + EVIDENCE_JSON_MAX;
    /* jansson reads /dev/urandom for it when it makes its first object, if it has none by then. */
    json_object_seed(0);
    int r = start_crypto(err);
    if (r == 0)
        r = confine(ROLE_APPRAISER, err);
    if (r == 0)
        r = channel_send(&a.control, MESSAGE_READY, 0, NULL, 0, err);
    return r < 0 ? r : serve(&a, err);
}
