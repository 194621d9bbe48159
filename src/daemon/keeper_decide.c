#include "base/hex.h"
#include "crypto/tls.h"
#include "daemon/keeper.h"
#include "daemon/log.h"
#include "daemon/metrics.h"
#include "daemon/seals.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define LOOKS 8 /* at a volume that is another one each time */

void keeper_store_state(struct keeper *k, int r, const struct error *err)
{
    bool down = r == -EHOSTDOWN;
    if (r < 0)
        metrics_add(METRIC_STORE_ERRORS, 1);
    if (r < 0 && (!down || !k->store_down))
        log_error(LOG_ERR, err, "store");
    if (r == 0 && k->store_down)
        log_line(LOG_INFO, "the store answers again");
    k->store_down = down;
    metrics_set(METRIC_STORE_UP, !down);
}

/* ---- sending: a peer that is gone is none that is waited for ---- */
static void after_sending(struct keeper *k, struct pair *p, struct channel *c, int r,
                          const struct error *err)
{
    if (r == -EPIPE || r == -ECONNRESET)
        channel_free(c);
    else if (r < 0)
        keeper_give_up(k, p, err);
}

/* Until keeper_flush: what is said to one process in one round wakes it once. */
static void send_to(struct keeper *k, struct pair *p, struct channel *c, enum message type,
                    uint64_t connection, const struct bytes *parts, size_t count)
{
    struct error err = {0};
    if (c->fd < 0)
        return;
    int r = channel_queue(c, type, connection, parts, count, &err);
    after_sending(k, p, c, r, &err);
}

static void flush(struct keeper *k, struct pair *p, struct channel *c)
{
    struct error err = {0};
    if (c->fd < 0 || !channel_wants_write(c))
        return;
    int r = channel_flush(c, &err);
    after_sending(k, p, c, r, &err);
}

/* Answers first: guests wait for them. */
void keeper_flush(struct keeper *k)
{
    for (size_t i = 0; i < k->pair_count; i++)
        flush(k, &k->pairs[i], &k->pairs[i].answer);
    for (size_t i = 0; i < k->pair_count; i++)
        flush(k, &k->pairs[i], &k->pairs[i].decision);
}

static void answer(struct keeper *k, struct pair *p, uint64_t connection, enum outcome o,
                   const char id[RELEASE_ID_SIZE], const struct secret *secret)
{
    struct message_answer m;
    memset(&m, 0, sizeof(m)); /* what the compiler put between the members, too */
    m.status = outcome_answers[o].status;
    snprintf(m.code, sizeof(m.code), "%s", outcome_answers[o].code);
    snprintf(m.id, sizeof(m.id), "%s", id);
    if (secret)
        memcpy(m.secret, secret_bytes(secret).data, sizeof(m.secret));
    const struct bytes body = BYTES(&m, sizeof(m));
    send_to(k, p, &p->answer, MESSAGE_ANSWER, connection, &body, 1);
    wipe(&m, sizeof(m));
    send_to(k, p, &p->decision, MESSAGE_DECIDED, connection, NULL, 0);
}

void keeper_refuse_late(struct keeper *k, struct pair *p, uint64_t connection)
{
    struct decision_case c = {.connection = connection};
    metrics_add(METRIC_UNAVAILABLE, 1);
    if (release_make_id(c.id, NULL) == 0)
        answer(k, p, connection, OUTCOME_UNAVAILABLE, c.id, NULL);
}

/*
 * Only what is sealed is appraised by. That the decision looks at the seal, too, is not enough:
 * only the edition joins the two, and it has 63 bits. Who chooses what it is made of finds a policy
 * of theirs and the volume as it is sealed with one edition.
 */
static int get_policy_once(struct keeper *k, const uint8_t uuid[16], uint64_t *edition,
                           struct buffer *text, struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    int r = store_volume_get(k->store, uuid, &v, err);
    if (r == 0)
        r = volume_edition(&v, edition, err);
    if (r < 0)
        return r;
    text->size = 0;
    r = store_policy_get(k->store, uuid, NULL, NULL, text, err);
    if (r == 0 || r == -ENOENT) /* a volume that lost its policy was sealed with one */
        r = volume_check_policy(&v, buffer_bytes(text), k->seals, err);
    return r;
}

/*
 * The volume is read before its policy: should it change in between, the text is newer, which looks
 * as if somebody had changed it past the broker. Then there is another edition by now. One that is
 * another each time is nothing that administrators do, and guests of others wait.
 */
static int get_policy(struct keeper *k, const uint8_t uuid[16], uint64_t *edition,
                      struct buffer *text, struct error *err)
{
    uint64_t before = EDITION_NONE;
    int r = get_policy_once(k, uuid, edition, text, err);
    for (int looks = 1; r == -EBADMSG && *edition != before && looks < LOOKS; looks++) {
        before = *edition;
        r = get_policy_once(k, uuid, edition, text, err);
    }
    if (r < 0) {
        *edition = r == -ENOENT ? EDITION_NONE : EDITION_UNREADABLE;
        text->size = 0;
    }
    if (r != -EBADMSG && r != -ENOKEY)
        return r;
    log_error(LOG_ERR, err, "policy"); /* and the decision says so */
    *edition = EDITION_UNSEALED;
    return 0;
}

/* Of one that the store does not give, the decision says so: asked for again and again, it would be
 * as long as the guest waits. */
void keeper_send_policy(struct keeper *k, struct pair *p, const uint8_t volume[16])
{
    _buffer_ struct buffer text = {0};
    struct message_policy m = {.edition = EDITION_NONE};
    struct error err = {0};
    memcpy(m.volume, volume, sizeof(m.volume));
    int r = get_policy(k, volume, &m.edition, &text, &err);
    if (r < 0 && r != -ENOENT) /* that it can be read does not make it one that can be written */
        keeper_store_state(k, r, &err);
    const struct bytes parts[] = {BYTES(&m, sizeof(m)), buffer_bytes(&text)};
    send_to(k, p, &p->decision, MESSAGE_POLICY, 0, parts, ARRAY_SIZE(parts));
}

static void send_stale(struct keeper *k, struct pair *p, const struct decision_case *c)
{
    struct message_policy m = {.edition = c->edition};
    memcpy(m.volume, c->said.volume, sizeof(m.volume));
    const struct bytes body = BYTES(&m, sizeof(m));
    send_to(k, p, &p->decision, MESSAGE_STALE, c->connection, &body, 1);
}

/* ---- telling the operator ---- */
static const struct {
    int level;
    const char *message;
    enum metric metric;
} outcome_logs[OUTCOME_COUNT] = {
    [OUTCOME_UNAVAILABLE] = {LOG_ERR, "unavailable", METRIC_UNAVAILABLE},
    [OUTCOME_SHED] = {LOG_DEBUG, "not decided", METRIC_SHED},
    [OUTCOME_UNREADABLE] = {LOG_WARNING, "denied", METRIC_DENIED},
    [OUTCOME_DENIED] = {LOG_WARNING, "denied", METRIC_DENIED},
    [OUTCOME_PENDING] = {LOG_WARNING, "pending", METRIC_DENIED},
    [OUTCOME_RELEASED] = {LOG_INFO, "released", METRIC_RELEASED},
};

static void tell(const struct decision_case *c)
{
    char volume[UUID_TEXT_SIZE], sequence[24];
    const struct finding *why = findings_first_reject(&c->findings);
    uuid_format(c->said.volume, volume);
    snprintf(sequence, sizeof(sequence), "%" PRIu64, c->sequence);
    const struct log_field fields[] = {
        {"volume", c->said.readable ? volume : NULL},
        {"name", c->name[0] ? c->name : NULL},
        {"peer", c->peer},
        {"id", c->id},
        {"sequence", c->sequence ? sequence : NULL},
        {"reason", why ? why->check : NULL},
        {NULL, NULL},
    };
    log_event(outcome_logs[c->outcome].level, outcome_logs[c->outcome].message, fields);
    metrics_add(outcome_logs[c->outcome].metric, 1);
    if (c->outcome == OUTCOME_PENDING)
        metrics_add(METRIC_PENDING, 1);
    if (c->sequence)
        metrics_raise(METRIC_AUDIT_SEQUENCE, c->sequence);
}

/* Once a minute: those who flood the broker do not flood its log, too. */
static void tell_shed(struct keeper *k, uint64_t now)
{
    if (k->shed_told && now - k->shed_told < SECONDS(60))
        return;
    k->shed_told = now;
    log_line(LOG_WARNING,
             "more evidence is refused than refusals-megabytes lets be recorded: refusals are "
             "answered 503, undecided (encroot_shed_total); who passes is served");
}

/* ---- the batch ---- */
static void conclude(struct keeper *k, struct decision_case *c)
{
    struct pair *p = &k->pairs[c->worker];
    struct known_connection *known = NULL;
    bool stale = c->outcome == OUTCOME_STALE;
    if (connections_find(&k->connections, c->connection, c->worker, clock_now(), &known, NULL) > 0)
        known->state = stale ? CONNECTION_OPEN : CONNECTION_DECIDED;
    if (stale) {
        send_stale(k, p, c);
        return;
    }
    tell(c);
    answer(k, p, c->connection, c->outcome, c->id, c->secret);
}

/* A commit of nothing succeeds on a full disk, too. */
static bool wrote(const struct keeper *k)
{
    for (size_t i = 0; i < k->batch_count; i++)
        if (k->batch[i].sequence)
            return true;
    return false;
}

void keeper_decide(struct keeper *k)
{
    struct error err = {0};
    if (k->batch_count == 0)
        return;
    uint64_t began = clock_now();
    allowance_refill(&k->room, began);
    allowance_refill(&k->refusals, began);
    int r = decide_all(&k->decider, k->batch, k->batch_count, time(NULL), &err);
    bool written = r == 0 && wrote(k);
    if (r < 0 || written)
        keeper_store_state(k, r, &err);
    if (written) {
        metrics_add(METRIC_COMMITS, 1);
        metrics_add(METRIC_COMMIT_MICROSECONDS, (clock_now() - began) / 1000);
    }
    for (size_t i = 0; i < k->batch_count; i++) {
        if (k->batch[i].outcome == OUTCOME_SHED)
            tell_shed(k, began);
        conclude(k, &k->batch[i]);
        decision_case_free(&k->batch[i]);
    }
    k->batch_count = 0;
    k->batch_bytes = 0;
}
