#include "daemon/connections.h"
#include "crypto/tls.h"

#include <inttypes.h>
#include <string.h>

#define PLACES 4 /* for each that may be open: connections come and go while one is served */

int connections_init(struct connections *t, size_t most, unsigned lifetime_seconds,
                     struct error *err)
{
    size_t size = PLACES * most;
    struct known_connection *list = calloc(size, sizeof(*list));
    if (!list)
        return error_set(err, ENOMEM, "no memory for %zu connections", size);
    *t = (struct connections){.list = list, .size = size, .lifetime = SECONDS(lifetime_seconds)};
    return 0;
}

void connections_free(struct connections *t)
{
    free(t->list);
    *t = (struct connections){0};
}

static struct known_connection *place(const struct connections *t, uint64_t number)
{
    return &t->list[number % t->size];
}

int connections_add(struct connections *t, const struct frame *f, size_t workers, uint64_t now,
                    struct error *err)
{
    struct message_connection m;
    if (f->type != MESSAGE_CONNECTION || f->body.size != sizeof(m))
        return error_set(err, EPROTO, "gate: message %u of %zu bytes is out of place", f->type,
                         f->body.size);
    memcpy(&m, f->body.data, sizeof(m));
    if (f->connection <= t->last || m.worker >= workers ||
        strnlen(m.peer, sizeof(m.peer)) == sizeof(m.peer) || !m.peer[0])
        return error_set(err, EPROTO,
                         "gate: connection %" PRIu64 " after %" PRIu64 ", to worker %u",
                         f->connection, t->last, m.worker);
    struct known_connection *c = place(t, f->connection);
    *c = (struct known_connection){.number = f->connection, .began = now, .worker = m.worker};
    memcpy(c->peer, m.peer, sizeof(c->peer));
    t->last = f->connection;
    return 0;
}

int connections_find(struct connections *t, uint64_t number, unsigned worker, uint64_t now,
                     struct known_connection **ret, struct error *err)
{
    struct known_connection *c = place(t, number);
    if (number == 0 || number > t->last)
        return error_set(err, EPROTO, "no connection has the number %" PRIu64 " yet", number);
    if (c->number != number || now - c->began > t->lifetime)
        return 0;
    if (c->worker != worker)
        return error_set(err, EPROTO, "connection %" PRIu64 " is of worker %u", number, c->worker);
    *ret = c;
    return 1;
}
