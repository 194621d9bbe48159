#include "crypto/tls.h"
#include "daemon/keeper.h"
#include "daemon/log.h"

#include <inttypes.h>
#include <string.h>

#define QUEUE_ENOUGH ((size_t)8 << 20) /* policies that an appraiser did not read yet */
#define HOLD_SECONDS 5 /* how long the gate's word of a connection may be on its way */

void keeper_give_up(struct keeper *k, struct pair *p, const struct error *why)
{
    log_error(LOG_ERR, why, "worker %zu is given up", (size_t)(p - k->pairs));
    p->given_up = true;
    if (p->holds)
        decision_case_free(&p->held);
    p->holds = false;
    channel_free(&p->decision);
    channel_free(&p->answer);
}

/* ---- the gate ---- */
static int take_of_gate(struct keeper *k, const struct frame *f, struct error *err)
{
    if (f->type == MESSAGE_SIGNATURE && k->service.signing) {
        if (vault_service_signed(&k->service, f->body, err) < 0)
            channel_free(&k->vault);
        return 0;
    }
    return connections_add(&k->connections, f, k->pair_count, clock_now(), err);
}

static int take_peers(struct keeper *k, struct error *err)
{
    struct frame f;
    int r = 0;
    while (k->peers.fd >= 0 && (r = channel_next(&k->peers, &f, err)) > 0) {
        r = take_of_gate(k, &f, err);
        if (r < 0)
            return r;
    }
    if (r == 0 && k->peers.ended) {
        channel_free(&k->peers);
        if (k->service.signing && vault_service_signed(&k->service, BYTES_NONE, err) < 0)
            channel_free(&k->vault);
    }
    return r;
}

/* ---- decisions ---- */
static bool batch_is_full(const struct keeper *k)
{
    return k->batch_count == BATCH_CASES || k->batch_bytes >= BATCH_BYTES;
}

/* Takes `c`. Negative errno: the rules were broken. */
static int queue(struct keeper *k, struct pair *p, struct known_connection *known,
                 struct decision_case *c, struct error *err)
{
    if (known->state != CONNECTION_OPEN)
        return error_set(err, EPROTO, "a second decision about connection %" PRIu64, known->number);
    known->state = CONNECTION_WAITS;
    memcpy(c->peer, known->peer, sizeof(c->peer));
    k->batch[k->batch_count++] = *c;
    k->batch_bytes += c->size;
    *c = (struct decision_case){0};
    return 0;
}

/* The gate speaks of a connection before it hands it over, but on another wire. */
static int hold(struct pair *p, struct decision_case *c, struct error *err)
{
    if (!p->holds) {
        p->holds = true;
        p->held_since = clock_now();
        p->held = *c;
        *c = (struct decision_case){0};
        return 0;
    }
    return clock_now() - p->held_since < SECONDS(HOLD_SECONDS)
               ? 0
               : error_set(err, EPROTO, "the gate knows no connection %" PRIu64, c->connection);
}

static int place_case(struct keeper *k, struct pair *p, struct decision_case *c, struct error *err)
{
    struct known_connection *known;
    if (c->connection > k->connections.last)
        return hold(p, c, err);
    int r = connections_find(&k->connections, c->connection, c->worker, clock_now(), &known, err);
    if (r == 0)
        keeper_refuse_late(k, p, c->connection);
    return r <= 0 ? r : queue(k, p, known, c, err);
}

static int take_decision(struct keeper *k, struct pair *p, const struct frame *f, struct error *err)
{
    _cleanup_(decision_case_free) struct decision_case c = {
        .connection = f->connection, .worker = (unsigned)(p - k->pairs), .size = f->body.size};
    struct bytes evidence;
    int r = messages_get_decision(f->body, &c.said, &c.findings, &c.names, &evidence, err);
    if (r == 0 && buffer_append(&c.evidence, evidence.data, evidence.size) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    return r < 0 ? r : place_case(k, p, &c, err);
}

static int take_policy_wanted(struct keeper *k, struct pair *p, const struct frame *f,
                              struct error *err)
{
    uint8_t volume[16];
    if (f->body.size != sizeof(volume) || f->connection != 0)
        return error_set(err, EPROTO, "a policy was asked for in %zu bytes", f->body.size);
    memcpy(volume, f->body.data, sizeof(volume));
    keeper_send_policy(k, p, volume);
    return 0;
}

static int take_of_appraiser(struct keeper *k, struct pair *p, const struct frame *f,
                             struct error *err)
{
    if (f->type == MESSAGE_DECISION)
        return take_decision(k, p, f, err);
    if (f->type == MESSAGE_POLICY_WANTED)
        return take_policy_wanted(k, p, f, err);
    return error_set(err, EPROTO, "appraiser: message %u is out of place", f->type);
}

/* 1: the held decision still waits. */
static int retry_held(struct keeper *k, struct pair *p, struct error *err)
{
    if (!p->holds)
        return 0;
    if (p->held.connection > k->connections.last) {
        int r = hold(p, &p->held, err);
        return r < 0 ? r : 1;
    }
    struct decision_case c = p->held;
    p->holds = false;
    p->held = (struct decision_case){0};
    int r = place_case(k, p, &c, err);
    decision_case_free(&c);
    return r;
}

bool keeper_may_listen(const struct pair *p)
{
    const struct channel *c = &p->decision;
    return !p->holds && c->fd >= 0 && (c->ended || channel_waiting(c) < QUEUE_ENOUGH);
}

static int take_decisions(struct keeper *k, struct pair *p, struct error *err)
{
    struct frame f;
    int r = 1;
    if (!batch_is_full(k))
        r = retry_held(k, p, err);
    while (r == 0 && keeper_may_listen(p) && !batch_is_full(k)) {
        r = channel_next(&p->decision, &f, err);
        if (r == 0) {
            if (p->decision.ended)
                channel_free(&p->decision);
            return 0;
        }
        if (r > 0)
            r = take_of_appraiser(k, p, &f, err);
    }
    k->more |= batch_is_full(k);
    return r;
}

/* A front has nothing to say here. */
static int take_of_front(struct pair *p, struct error *err)
{
    struct frame f;
    int r = p->answer.fd < 0 ? 0 : channel_next(&p->answer, &f, err);
    if (r > 0)
        return error_set(err, EPROTO, "front: message %u is out of place", f.type);
    if (r == 0 && p->answer.ended)
        channel_free(&p->answer);
    return r;
}

/* Of a pair that was given up nothing is decided, whatever it had said before. */
static void drop_given_up(struct keeper *k)
{
    size_t n = 0;
    for (size_t i = 0; i < k->batch_count; i++) {
        if (k->pairs[k->batch[i].worker].given_up) {
            k->batch_bytes -= k->batch[i].size;
            decision_case_free(&k->batch[i]);
        } else {
            k->batch[n++] = k->batch[i];
        }
    }
    k->batch_count = n;
}

static void take_pairs(struct keeper *k)
{
    for (size_t i = 0; i < k->pair_count; i++) {
        struct pair *p = &k->pairs[(k->next_pair + i) % k->pair_count];
        struct error err = {0};
        if (p->given_up)
            continue;
        int r = take_of_front(p, &err);
        if (r == 0)
            r = take_decisions(k, p, &err);
        if (r < 0 && !p->given_up)
            keeper_give_up(k, p, &err);
    }
    k->next_pair++;
    drop_given_up(k);
}

/* ---- the administration ---- */
static void take_vault(struct keeper *k)
{
    struct error err = {0};
    struct frame f;
    int r = 0;
    if (k->vault.fd < 0 || k->service.signing)
        return;
    while (!k->service.signing && (r = channel_next(&k->vault, &f, &err)) > 0) {
        r = vault_service_take(&k->service, &f, &err);
        if (r < 0)
            break;
    }
    if (r < 0)
        log_error(LOG_ERR, &err, "the administration is given up");
    if (r < 0 || (r == 0 && k->vault.ended))
        channel_free(&k->vault);
}

int keeper_take(struct keeper *k, struct error *err)
{
    k->more = false;
    int r = take_peers(k, err);
    if (r < 0)
        return r;
    take_pairs(k);
    take_vault(k);
    return 0;
}
