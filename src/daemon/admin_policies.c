/* /v1/volumes/REF/policy: what the owner wrote, and what guests are appraised by. */
#include "daemon/admin.h"

#include <inttypes.h>

int admin_get_policy(struct admin_call *c, struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    _buffer_ struct buffer policy = {0};
    _buffer_ struct buffer effective = {0};
    _json_ json_t *owners = NULL;
    _json_ json_t *whole = NULL;
    uint64_t revision;
    int r = admin_find_volume(c, c->words[0], &v, err);
    if (r == 0)
        r = store_policy_get(c->admin->store, v.uuid, &revision, &policy, &effective, err);
    if (r == 0)
        r = admin_parse_stored(&owners, buffer_bytes(&policy), "the stored policy", err);
    if (r == 0)
        r = admin_parse_stored(&whole, buffer_bytes(&effective), "the stored effective policy",
                               err);
    if (r < 0)
        return r;
    return admin_reply_json(c, 200,
                            json_pack("{s:I, s:O, s:O}", "revision", (json_int_t)revision, "policy",
                                      owners, "effective", whole),
                            err);
}

struct policy_change {
    json_t *policy;
    uint64_t revision; /* 0: whatever it is */
    struct store_volume volume;
    json_t *result;
};

static int set(struct admin_call *c, void *arg, struct error *err)
{
    struct policy_change *a = arg;
    int r = admin_find_volume(c, c->words[0], &a->volume, err);
    if (r == 0)
        r = admin_check_seals(c, &a->volume, err);
    if (r < 0)
        return r;
    if (a->revision && a->revision != a->volume.revision)
        return error_hint(err,
                          error_set(err, ESTALE,
                                    "the policy is at revision %" PRIu64 " by now, not %" PRIu64,
                                    a->volume.revision, a->revision),
                          "someone else changed it: read it again, and apply the change to that");
    r = admin_policy_renew(c, &a->volume, a->policy, err);
    if (r < 0)
        return r;
    change_note(&c->change, CHANGE_POLICY_SET, a->volume.uuid, "revision %" PRIu64,
                a->volume.revision);
    return admin_volume_json(c, &a->volume, &a->result, err);
}

int admin_set_policy(struct admin_call *c, struct error *err)
{
    static const char *const known[] = {"policy", "revision", NULL};
    struct policy_change a = {0};
    int r = json_only_keys(c->body, known, "request", err);
    if (r == 0)
        r = json_get_object(c->body, "policy", &a.policy, "request", err);
    if (r == 0 && json_object_get(c->body, "revision"))
        r = json_get_uint(c->body, "revision", INT64_MAX, &a.revision, "request", err);
    if (r == 0)
        r = admin_change(c, set, &a, err);
    store_volume_free(&a.volume);
    if (r < 0) {
        json_decref(a.result);
        return r;
    }
    return admin_reply_json(c, 200, a.result, err);
}
