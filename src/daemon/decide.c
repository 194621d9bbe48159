#include "daemon/decide.h"
#include "broker/audit.h"
#include "daemon/decide_volume.h"

#include <string.h>

const struct outcome_answer outcome_answers[OUTCOME_COUNT] = {
    [OUTCOME_UNAVAILABLE] = {503, "unavailable"},
    [OUTCOME_SHED] = {503, "unavailable"},
    [OUTCOME_STALE] = {0, ""},
    [OUTCOME_UNREADABLE] = {400, "bad-request"},
    [OUTCOME_DENIED] = {403, "denied"},
    [OUTCOME_PENDING] = {403, "pending"},
    [OUTCOME_RELEASED] = {200, ""},
};

void decision_case_free(struct decision_case *c)
{
    findings_free(&c->findings);
    buffer_free(&c->names);
    buffer_free(&c->evidence);
    secret_free(c->secret);
    *c = (struct decision_case){0};
}

/* ---- the record ---- */
#define ROW_SIZE 256 /* what the store needs for a record besides its text, about */

/* Anyone can have evidence refused: it must not fill the disk, without which nothing is released.
 */
static bool evidence_is_kept(const struct decider *d, const struct decision_case *c, bool granted)
{
    bool wanted = d->keep == EVIDENCE_KEEP_ALL || (d->keep == EVIDENCE_KEEP_REFUSED && !granted);
    return wanted && (!d->room || allowance_take(d->room, c->evidence.size));
}

/* Whoever has no evidence can be refused for ever. What passed is decided in any case. */
static bool has_room(const struct decider *d, const struct decision_case *c, size_t record)
{
    return c->said.passed || !d->refusals || allowance_take(d->refusals, record + ROW_SIZE);
}

/* Into the store, as the next of the chain (change.c has the other kind of record). */
static int record(const struct decider *d, struct decision_case *c, struct audit_state *chain,
                  time_t now, struct error *err)
{
    _buffer_ struct buffer text = {0};
    struct audit_state next;
    bool granted = c->outcome == OUTCOME_RELEASED;
    const struct message_decision *said = &c->said;
    const struct audit_entry entry = {
        .id = c->id,
        .findings = &c->findings,
        .granted = granted,
        .request_sha256 = said->request_sha256,
        .volume = said->readable ? said->volume : NULL,
        .platform = said->platform,
        .evidence_sha256 = said->evidence_sha256,
        .broker = d->broker,
        .peer = c->peer,
        .time = now,
    };
    int r = audit_make(chain, &entry, &text, &next, err);
    if (r < 0)
        return r;
    if (!has_room(d, c, text.size)) {
        c->outcome = OUTCOME_SHED;
        return 0;
    }
    struct store_record kept = {
        .sequence = next.sequence,
        .time = now,
        .granted = granted,
        .has_volume = said->readable,
        .text = text,
    };
    memcpy(kept.hash, next.hash, sizeof(kept.hash));
    memcpy(kept.id, c->id, sizeof(c->id));
    memcpy(kept.volume, said->volume, sizeof(kept.volume));
    if (evidence_is_kept(d, c, granted))
        kept.evidence = c->evidence;
    r = store_audit_append(d->store, &kept, err);
    if (r < 0)
        return r;
    *chain = next;
    c->sequence = next.sequence;
    return 0;
}

/* ---- all of them ---- */
static int decide_one(const struct decider *d, struct decision_case *c, struct audit_state *chain,
                      time_t now, struct error *err)
{
    int r = 0;
    c->outcome = OUTCOME_UNREADABLE;
    if (c->said.readable)
        r = decide_volume(d, c, now, err);
    if (r < 0 || c->outcome == OUTCOME_STALE)
        return r;
    return record(d, c, chain, now, err);
}

static void nothing_is_decided(struct decision_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cases[i].outcome = OUTCOME_UNAVAILABLE;
        cases[i].sequence = 0;
        secret_free(TAKE_PTR(cases[i].secret));
    }
}

/* What may be written, of the decider's allowances; of those that it has. */
struct allowances {
    struct allowance room, refusals;
};

static struct allowances allowances_get(const struct decider *d)
{
    const struct allowance none = {0};
    return (struct allowances){.room = d->room ? *d->room : none,
                               .refusals = d->refusals ? *d->refusals : none};
}

static void allowances_set(const struct decider *d, const struct allowances *a)
{
    if (d->room)
        *d->room = a->room;
    if (d->refusals)
        *d->refusals = a->refusals;
}

/* In one transaction: all of them, or none, for which no allowance is spent. */
static int decide_together(const struct decider *d, struct decision_case *cases, size_t count,
                           time_t now, struct error *err)
{
    const struct allowances before = allowances_get(d);
    struct audit_state chain = {0};
    int r = store_begin(d->store, err);
    if (r == 0)
        r = store_audit_last(d->store, &chain.sequence, chain.hash, err);
    for (size_t i = 0; i < count && r == 0; i++)
        r = decide_one(d, &cases[i], &chain, now, err);
    if (r == 0)
        r = store_commit(d->store, err);
    if (r < 0) {
        store_rollback(d->store);
        allowances_set(d, &before);
        nothing_is_decided(cases, count);
    }
    return r;
}

/* One that cannot be decided, for what the store holds of its volume, must not stand in the way of
 * others: whoever names that volume could hold them all up. */
static int decide_singly(const struct decider *d, struct decision_case *cases, size_t count,
                         time_t now, struct error *err)
{
    int failed = 0;
    for (size_t i = 0; i < count && (failed == 0 || failed == -EUCLEAN); i++) {
        findings_cut(&cases[i].findings, cases[i].appraised);
        int r = decide_together(d, &cases[i], 1, now, err);
        failed = r < 0 ? r : failed;
    }
    return failed;
}

int decide_all(const struct decider *d, struct decision_case *cases, size_t count, time_t now,
               struct error *err)
{
    int r = 0;
    nothing_is_decided(cases, count);
    for (size_t i = 0; i < count && r == 0; i++) {
        cases[i].appraised = cases[i].findings.count;
        r = release_make_id(cases[i].id, err);
    }
    if (r == 0)
        r = decide_together(d, cases, count, now, err);
    return r == -EUCLEAN && count > 1 ? decide_singly(d, cases, count, now, err) : r;
}
