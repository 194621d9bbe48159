/* /v1/requests: guests of volumes that an operator lets in one by one. */
#include "daemon/admin.h"
#include "base/hex.h"
#include "daemon/seals.h"

#include <string.h>

#define REQUESTS_MAX 256

static const char *const states[] = {[STORE_REQUEST_PENDING] = "pending",
                                     [STORE_REQUEST_APPROVED] = "approved",
                                     [STORE_REQUEST_DENIED] = "denied",
                                     [STORE_REQUEST_USED] = "used"};

static json_t *hex_json(struct bytes in)
{
    char text[2 * STORE_ATTESTER_SIZE + 1];
    hex_encode(in, text);
    return json_string(text);
}

/* What is told is what is approved, not what somebody put in its place while it was looked at. */
static const char *state_of(const struct admin_call *c, const struct store_request *q)
{
    return request_check_seal(q, c->admin->seals, NULL) == 0 ? states[q->state] : "unsealed";
}

static int request_json(struct admin_call *c, const struct store_request *q, json_t **ret,
                        struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    int r = store_volume_get(c->admin->store, q->volume, &v, err);
    if (r < 0 && r != -ENOENT)
        return r;
    bool named = r == 0 && volume_check_seal(&v, c->admin->seals, NULL) == 0;
    *ret = json_pack("{s:s, s:o, s:s?, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:s?}", "id", q->id,
                     "volume", admin_uuid(q->volume), "name", named ? v.name : NULL, "attester",
                     hex_json(BYTES_OF(q->attester)), "state", state_of(c, q), "peer",
                     plain_json(q->peer), "created", admin_time(q->created), "seen",
                     admin_time(q->seen), "expires", admin_time(q->expires), "count",
                     (json_int_t)q->count, "decided_by", q->decided_by[0] ? q->decided_by : NULL);
    return *ret ? 0 : error_set(err, ENOMEM, "out of memory");
}

int admin_list_requests(struct admin_call *c, struct error *err)
{
    bool all;
    int r = admin_query_flag(c, "all", &all, err);
    if (r < 0)
        return r;
    _free_ struct store_request *list = calloc(REQUESTS_MAX + 1, sizeof(*list));
    _json_ json_t *out = json_array();
    if (!list || !out)
        return error_set(err, ENOMEM, "out of memory");
    int n = store_request_list(c->admin->store, all, time(NULL), list, REQUESTS_MAX + 1, err);
    for (int i = 0; r == 0 && i < n && i < REQUESTS_MAX; i++) {
        json_t *j = NULL;
        r = request_json(c, &list[i], &j, err);
        if (r == 0 && json_array_append_new(out, j) < 0)
            r = error_set(err, ENOMEM, "out of memory");
    }
    if (n < 0 || r < 0)
        return n < 0 ? n : r;
    return admin_reply_json(
        c, 200, json_pack("{s:O, s:b}", "requests", out, "more", n > REQUESTS_MAX), err);
}

/* What the operator saw of it: whose it is, from where, and the volume's name. */
static int check_seals(struct admin_call *c, const struct store_request *q, struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    int r = request_check_seal(q, c->admin->seals, err);
    if (r == 0)
        r = store_volume_get(c->admin->store, q->volume, &v, err);
    return r < 0 ? r : volume_check_seal(&v, c->admin->seals, err);
}

struct decision {
    enum store_request_state state;
    enum change_action action;
    struct store_request request;
    json_t *result;
};

static int decide(struct admin_call *c, void *arg, struct error *err)
{
    struct decision *d = arg;
    struct store_request *q = &d->request;
    time_t now = time(NULL);
    int r = store_request_get(c->admin->store, c->words[0], q, err);
    if (r == -ENOENT)
        return error_hint(err, error_set(err, ENOENT, "there is no request \"%.40s\"", c->words[0]),
                          "`encroot request list` has those that wait");
    if (r < 0)
        return r;
    /* Who thinks better of it takes it back, until it was used. */
    bool taken_back = q->state == STORE_REQUEST_APPROVED && d->state == STORE_REQUEST_DENIED;
    if (q->state != STORE_REQUEST_PENDING && !taken_back)
        return error_set(err, EALREADY, "the request is %s%s%s, not pending", states[q->state],
                         q->decided_by[0] ? " by " : "", q->decided_by);
    if (q->expires && q->expires <= now)
        return error_hint(err, error_set(err, EALREADY, "the request has expired"),
                          "the guest asks again if it still waits");
    r = check_seals(c, q, err);
    if (r < 0)
        return r;
    q->state = d->state;
    q->expires = now + (time_t)c->admin->config->approval_seconds;
    snprintf(q->decided_by, sizeof(q->decided_by), "%.*s", (int)sizeof(q->decided_by) - 1,
             c->user->name);
    change_note(&c->change, d->action, q->volume, "request %s", q->id);
    r = request_seal(q, c->admin->seals, err);
    if (r == 0)
        r = store_request_put(c->admin->store, q, err);
    return r < 0 ? r : request_json(c, q, &d->result, err);
}

static int decide_request(struct admin_call *c, enum store_request_state state,
                          enum change_action action, struct error *err)
{
    static const char *const known[] = {NULL};
    struct decision d = {.state = state, .action = action};
    int r = json_only_keys(c->body, known, "request", err);
    if (r == 0)
        r = admin_change(c, decide, &d, err);
    return admin_reply_result(c, r, d.result, err);
}

int admin_approve_request(struct admin_call *c, struct error *err)
{
    return decide_request(c, STORE_REQUEST_APPROVED, CHANGE_REQUEST_APPROVE, err);
}

int admin_deny_request(struct admin_call *c, struct error *err)
{
    return decide_request(c, STORE_REQUEST_DENIED, CHANGE_REQUEST_DENY, err);
}
