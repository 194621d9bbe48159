/* GET /v1/status: who am I here, and how is the broker? It answers without a store, too. */
#include "daemon/admin.h"
#include "base/hex.h"
#include "daemon/metrics.h"

#include <string.h>

/* What is in the store; nothing of it, as JSON's null, if it cannot be used. */
static int put_store(struct admin *a, json_t *j, struct error *err)
{
    uint64_t sequence = 0, volumes = 0, pending = 0;
    uint8_t hash[32];
    char hex[65];
    int r = store_ping(a->store, err);
    if (r == 0)
        r = store_audit_last(a->store, &sequence, hash, err);
    if (r == 0)
        r = store_volume_count(a->store, &volumes, err);
    if (r == 0)
        r = store_request_count(a->store, STORE_REQUEST_PENDING, time(NULL), &pending, err);
    if (r < 0)
        return r;
    hex_encode(BYTES_OF(hash), hex);
    json_object_set_new(j, "audit",
                        json_pack("{s:I, s:s}", "sequence", (json_int_t)sequence, "hash", hex));
    json_object_set_new(j, "volumes", json_integer((json_int_t)volumes));
    json_object_set_new(j, "pending", json_integer((json_int_t)pending));
    return 0;
}

int admin_get_status(struct admin_call *c, struct error *err)
{
    const struct daemon_config *config = c->admin->config;
    struct error down = {0};
    json_t *j = json_pack(
        "{s:o, s:s, s:I, s:s, s:s, s:n, s:n, s:n}", "broker", plain_json(config->name), "version",
        ENCROOT_VERSION, "generation", (json_int_t)metrics_get(METRIC_GENERATION), "role",
        admin_role_name(c->user->role), "user", c->user->name, "audit", "volumes", "pending");
    int r = put_store(c->admin, j, &down);
    json_t *store = json_pack("{s:s, s:b}", "kind",
                              strncmp(config->store, "sqlite:", 7) == 0 ? "sqlite" : "postgresql",
                              "up", r == 0);
    if (r < 0)
        json_object_set_new(store, "error", plain_json(down.text));
    json_object_set_new(j, "store", store);
    return admin_reply_json(c, 200, j, err);
}
