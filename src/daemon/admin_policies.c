/* /v1/volumes/REF/policy: what the owner wrote, and what guests are appraised by. */
#include "daemon/admin.h"

#include <inttypes.h>
#include <string.h>

static int look(struct admin_call *c, void *arg, struct error *err)
{
    _admin_volume_ struct admin_volume a = {0};
    _json_ json_t *owners = NULL;
    _json_ json_t *whole = NULL;
    json_t **result = arg;
    int r = admin_volume_load(c, &a, err);
    if (r == 0)
        r = admin_parse_stored(&owners, buffer_bytes(&a.policy), "the stored policy", err);
    if (r == 0)
        r = admin_parse_stored(&whole, buffer_bytes(&a.effective), "the stored effective policy",
                               err);
    if (r < 0)
        return r;
    *result = json_pack("{s:I, s:b, s:O, s:O}", "revision", (json_int_t)a.volume.revision, "sealed",
                        admin_volume_check(c, &a, NULL) == 0, "policy", owners, "effective", whole);
    return 0;
}

int admin_get_policy(struct admin_call *c, struct error *err)
{
    json_t *result = NULL;
    int r = admin_look(c, look, &result, err);
    return admin_reply_result(c, r, result, err);
}

struct policy_change {
    json_t *policy;
    uint64_t revision; /* 0: whatever it is */
    json_t *result;
};

static int put_policy(struct buffer *to, const json_t *policy, struct error *err)
{
    _free_ char *text = json_dumps(policy, JSON_COMPACT);
    to->size = 0;
    return text && buffer_append(to, text, strlen(text)) == 0
               ? 0
               : error_set(err, ENOMEM, "out of memory");
}

static int set(struct admin_call *c, void *arg, struct error *err)
{
    _admin_volume_ struct admin_volume a = {0};
    struct policy_change *p = arg;
    int r = admin_volume_open(c, &a, err);
    if (r < 0)
        return r;
    if (p->revision && p->revision != a.volume.revision)
        return error_hint(err,
                          error_set(err, ESTALE,
                                    "the policy is at revision %" PRIu64 " by now, not %" PRIu64,
                                    a.volume.revision, p->revision),
                          "someone else changed it: read it again, and apply the change to that");
    r = put_policy(&a.policy, p->policy, err);
    if (r == 0)
        r = admin_volume_save(c, &a, err);
    if (r < 0)
        return r;
    change_note(&c->change, CHANGE_POLICY_SET, a.volume.uuid, "revision %" PRIu64,
                a.volume.revision);
    return admin_volume_json(c, &a.volume, &p->result, err);
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
    return admin_reply_result(c, r, a.result, err);
}
