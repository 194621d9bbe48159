#include "daemon/gate.h"
#include "daemon/log.h"
#include "daemon/metrics.h"

#include <string.h>

static int malformed(const struct frame *f, struct error *err)
{
    return error_set(err, EPROTO, "a frame of type %u with %zu bytes, which has no meaning here",
                     f->type, f->body.size);
}

/* ---- fronts ---- */
static int end_connection(struct gate *g, size_t front, const struct frame *f, struct error *err)
{
    if (f->body.size != 0)
        return malformed(f, err);
    struct gate_connection *c = gate_table_find(&g->table, f->connection, (uint32_t)front);
    if (!c) {
        log_line(LOG_ERR, "front %zu ended connection %llu, which it does not have", front,
                 (unsigned long long)f->connection);
        return 0;
    }
    gate_table_remove(&g->table, c);
    g->fronts[front].load--;
    metrics_add(METRIC_CONNECTIONS_ENDED, 1);
    return 0;
}

/* Spent before it is made: whatever goes wrong, there is no second one. */
static int use_signature(struct gate *g, size_t front, const struct frame *f, struct buffer *der,
                         struct error *err)
{
    struct message_sign m;
    memcpy(&m, f->body.data, sizeof(m));
    struct gate_connection *c = gate_table_find(&g->table, f->connection, (uint32_t)front);
    if (!c)
        return error_set(err, ENOENT, "it has no such connection");
    if (c->was_signed)
        return error_set(err, EALREADY, "its signature was made before");
    c->was_signed = true;
    return gate_sign_transcript(g, &m, der, err);
}

static int sign(struct gate *g, size_t front, const struct frame *f, struct error *err)
{
    if (f->body.size != sizeof(struct message_sign))
        return malformed(f, err);
    _buffer_ struct buffer der = {0};
    struct error why = {0};
    if (use_signature(g, front, f, &der, &why) < 0) {
        log_error(LOG_ERR, &why, "front %zu asked to sign for connection %llu: refused", front,
                  (unsigned long long)f->connection);
        der.size = 0;
    }
    struct bytes body = buffer_bytes(&der);
    return channel_send(&g->fronts[front].sign, MESSAGE_SIGNATURE, f->connection, &body, 1, err);
}

/* ---- the keeper ---- */
static int sign_checkpoint(struct gate *g, const struct frame *f, struct error *err)
{
    struct message_checkpoint m;
    if (f->body.size != sizeof(m))
        return malformed(f, err);
    memcpy(&m, f->body.data, sizeof(m));
    _buffer_ struct buffer der = {0};
    struct error why = {0};
    if (gate_sign_checkpoint(g, &m, &der, &why) < 0) {
        log_error(LOG_ERR, &why, "signing a checkpoint of the audit");
        der.size = 0;
    }
    struct bytes body = buffer_bytes(&der);
    return channel_send(&g->peers, MESSAGE_SIGNATURE, f->connection, &body, 1, err);
}

/* ---- both ---- */
int gate_serve_front(struct gate *g, size_t front, struct error *err)
{
    struct channel *c = &g->fronts[front].sign;
    struct frame f;
    int r = channel_fill(c, err);
    while (r == 0 && (r = channel_next(c, &f, err)) > 0) {
        if (f.type == MESSAGE_SIGN)
            r = sign(g, front, &f, err);
        else
            r = f.type == MESSAGE_ENDED ? end_connection(g, front, &f, err) : malformed(&f, err);
    }
    if (r == 0 && c->ended)
        r = error_set(err, ECONNRESET, "it ended");
    return error_prefix(err, r, "front %zu", front);
}

int gate_serve_keeper(struct gate *g, struct error *err)
{
    struct frame f;
    int r = channel_fill(&g->peers, err);
    while (r == 0 && (r = channel_next(&g->peers, &f, err)) > 0)
        r = f.type == MESSAGE_SIGN_CHECKPOINT ? sign_checkpoint(g, &f, err) : malformed(&f, err);
    if (r == 0 && g->peers.ended)
        r = error_set(err, ECONNRESET, "it ended");
    return error_prefix(err, r, "keeper");
}
