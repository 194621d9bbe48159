#include "daemon/wires.h"

#include <sys/socket.h>

static const struct {
    enum wire wire;
    enum role from, to;
    int type;
} table[] = {
    {WIRE_HANDOFF, ROLE_GATE, ROLE_FRONT, SOCK_SEQPACKET},
    {WIRE_SIGN, ROLE_GATE, ROLE_FRONT, SOCK_STREAM},
    {WIRE_PEERS, ROLE_GATE, ROLE_KEEPER, SOCK_STREAM},
    {WIRE_EVIDENCE, ROLE_FRONT, ROLE_APPRAISER, SOCK_STREAM},
    {WIRE_DECISION, ROLE_KEEPER, ROLE_APPRAISER, SOCK_STREAM},
    {WIRE_ANSWER, ROLE_KEEPER, ROLE_FRONT, SOCK_STREAM},
    {WIRE_VAULT, ROLE_ADMIN, ROLE_KEEPER, SOCK_STREAM},
};

int wires_add(struct process *p, enum wire wire, int fd, struct error *err)
{
    if (p->count[wire] == CONFIG_WORKERS_MAX) {
        close(fd);
        return error_set(err, EMFILE, "too many wires");
    }
    p->fds[wire][p->count[wire]++] = fd;
    return 0;
}

static int connect_pair(struct process *a, struct process *b, enum wire wire, int type,
                        struct error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) < 0)
        return error_hint(
            err,
            error_errno(err, errno, "connecting %s and %s", role_name(a->role), role_name(b->role)),
            "with many workers, more file descriptors may be needed (LimitNOFILE)");
    int r = wires_add(a, wire, ends[0], err);
    if (r < 0)
        close(ends[1]);
    return r < 0 ? r : wires_add(b, wire, ends[1], err);
}

/* The pair of a front and an appraiser has the same index; all others have each of the other. */
static bool speak(const struct process *a, const struct process *b)
{
    return !role_is_paired(a->role) || !role_is_paired(b->role) || a->index == b->index;
}

int wires_make(struct process *all[], size_t count, struct error *err)
{
    int r = 0;
    for (size_t t = 0; r == 0 && t < ARRAY_SIZE(table); t++)
        for (size_t i = 0; r == 0 && i < count; i++)
            for (size_t j = 0; r == 0 && all[i]->role == table[t].from && j < count; j++)
                if (all[j]->role == table[t].to && speak(all[i], all[j]))
                    r = connect_pair(all[i], all[j], table[t].wire, table[t].type, err);
    return r;
}

void wires_close(struct process *p)
{
    for (size_t w = 0; w < WIRE_COUNT; w++) {
        for (size_t i = 0; i < p->count[w]; i++)
            if (p->fds[w][i] >= 0)
                close(p->fds[w][i]);
        p->count[w] = 0;
    }
}
