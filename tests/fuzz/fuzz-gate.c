/* What a hostile front, or keeper, writes to the gate. Nothing is signed but what may be. */
#include "crypto/tls_identity.h"
#include "daemon/gate.h"
#include "daemon/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECTIONS 4 /* two of front 0, two of front 1 */

static struct tls_identity identity;

static void open_pair(struct channel *c, int *other)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
        abort();
    channel_init(c, fds[0]);
    *other = fds[1];
}

static unsigned count_signed(const struct gate *g)
{
    unsigned n = 0;
    for (size_t i = 0; i < g->table.max; i++)
        n += g->table.slots[i].was_signed;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gate g = {.identity = &identity, .front_count = 2};
    int others[3];
    if (!identity.key) {
        identity.key = EVP_EC_gen("P-256");
        log_open("gate", false, -1);
    }
    if (size == 0 || size > 4096)
        return 0;
    open_pair(&g.fronts[0].sign, &others[0]);
    open_pair(&g.fronts[1].sign, &others[1]);
    open_pair(&g.peers, &others[2]);
    g.fronts[0].sign.frame_max = sizeof(struct message_sign);
    g.peers.frame_max = sizeof(struct message_checkpoint);
    if (gate_table_init(&g.table, CONNECTIONS, NULL) < 0)
        abort();
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        if (gate_table_add(&g.table, i % 2) == 0)
            abort();
        g.fronts[i % 2].load++;
    }
    bool keeper = data[0] & 1;
    if (send(others[keeper ? 2 : 0], data + 1, size - 1, 0) != (ssize_t)(size - 1))
        abort();
    if ((keeper ? gate_serve_keeper(&g, NULL) : gate_serve_front(&g, 0, NULL)) == -EIO)
        abort();
    /* Front 1's are not front 0's, and a keeper has none. */
    if (count_signed(&g) > (keeper ? 0 : 2) || g.fronts[1].load != 2 || g.fronts[0].load > 2 ||
        g.table.count != g.fronts[0].load + 2)
        abort();
    gate_table_free(&g.table);
    channel_free(&g.peers);
    for (int i = 0; i < 2; i++)
        channel_free(&g.fronts[i].sign);
    for (int i = 0; i < 3; i++)
        close(others[i]);
    return 0;
}
