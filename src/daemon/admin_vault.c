/* What only the keeper can do: wrap, unwrap, rewrap, sign. One question at a time. */
#include "daemon/admin.h"
#include "broker/audit_checkpoint.h"
#include "vault/seal.h"

#include <string.h>

#define PATIENCE SECONDS(10)

/* Answers come in the order of questions: those that came too late for theirs are passed over. */
static int next_answer(struct admin *a, struct frame *f, uint64_t deadline, struct error *err)
{
    a->vault_owed++;
    do {
        int r = channel_wait(&a->vault, f, deadline, err);
        if (r < 0)
            return error_prefix(err, r, "asking the keeper");
        a->vault_owed--;
    } while (a->vault_owed > 0);
    return 0;
}

/* `ret`: what is behind the result; borrowed until the next question. */
static int ask(struct admin *a, enum message type, const struct bytes *parts, size_t count,
               uint64_t patience, struct bytes *ret, struct error *err)
{
    uint64_t deadline = clock_now() + patience;
    struct message_result result;
    struct frame f;
    int r = channel_send(&a->vault, type, 0, parts, count, err);
    if (r == 0)
        r = channel_drain(&a->vault, deadline, err);
    if (r == 0)
        r = next_answer(a, &f, deadline, err);
    if (r < 0)
        return r;
    if (f.body.size < sizeof(result))
        return error_set(err, EPROTO, "the keeper's answer has %zu bytes", f.body.size);
    memcpy(&result, f.body.data, sizeof(result));
    result.text[sizeof(result.text) - 1] = '\0';
    result.hint[sizeof(result.hint) - 1] = '\0';
    /* Whatever else it is, the request was not at fault. */
    if (result.code < 0) {
        bool known = result.code == -EHOSTDOWN || result.code == -EALREADY;
        r = error_set(err, known ? -result.code : EIO, "the keeper: %s", result.text);
        return result.hint[0] ? error_hint(err, r, "%s", result.hint) : r;
    }
    *ret = BYTES(f.body.data + sizeof(result), f.body.size - sizeof(result));
    return 0;
}

static int check_size(struct bytes body, size_t expected, struct error *err)
{
    if (body.size != expected)
        return error_set(err, EPROTO, "the keeper's answer has %zu bytes, expected %zu", body.size,
                         expected);
    return 0;
}

/* Secrets do not stay in the channel until the next question comes. */
static void forget(struct bytes body)
{
    wipe((uint8_t *)(uintptr_t)body.data, body.size);
}

int admin_vault_get_seals(struct admin *a, struct error *err)
{
    struct bytes body;
    int r = ask(a, MESSAGE_SEAL_KEYS, NULL, 0, PATIENCE, &body, err);
    if (r < 0)
        return r;
    a->seals = secret_new(body.size);
    if (a->seals)
        memcpy(secret_data(a->seals), body.data, body.size);
    forget(body);
    return a->seals ? seal_keys_check(a->seals, err)
                    : error_set(err, ENOMEM, "no locked memory for keys");
}

int admin_vault_wrap(struct admin *a, const uint8_t volume[16], const struct secret *s,
                     struct buffer *ret, struct error *err)
{
    const struct bytes parts[] = {BYTES(volume, 16), secret_bytes(s)};
    struct bytes body;
    int r = ask(a, MESSAGE_WRAP, parts, ARRAY_SIZE(parts), PATIENCE, &body, err);
    if (r == 0 && (body.size == 0 || body.size > STORE_WRAPPED_MAX))
        r = error_set(err, EPROTO, "the keeper wrapped a secret to %zu bytes", body.size);
    if (r == 0 && buffer_append(ret, body.data, body.size) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    return r;
}

/* Who asks, for the keeper's record. */
static struct message_user user_of(const struct admin_call *c)
{
    struct message_user u = {0};
    snprintf(u.name, sizeof(u.name), "%s", c->user->name);
    return u;
}

int admin_vault_unwrap(struct admin_call *c, const uint8_t volume[16], struct bytes wrapped,
                       struct secret **ret, struct error *err)
{
    const struct message_user user = user_of(c);
    const struct bytes parts[] = {BYTES(&user, sizeof(user)), BYTES(volume, 16), wrapped};
    struct bytes body;
    int r = ask(c->admin, MESSAGE_UNWRAP, parts, ARRAY_SIZE(parts), PATIENCE, &body, err);
    if (r < 0)
        return r;
    r = check_size(body, VOLUME_SECRET_SIZE, err);
    struct secret *s = r == 0 ? secret_new(VOLUME_SECRET_SIZE) : NULL;
    if (s)
        memcpy(secret_data(s), body.data, VOLUME_SECRET_SIZE);
    else if (r == 0)
        r = error_set(err, ENOMEM, "no locked memory for a secret");
    forget(body);
    if (r == 0)
        *ret = s;
    return r;
}

static int reply_rewrap(struct admin_call *c, int status, struct bytes body, struct error *err)
{
    static const char *const states[] = {[REWRAP_NONE] = "idle",
                                         [REWRAP_RUNNING] = "running",
                                         [REWRAP_FINISHED] = "finished",
                                         [REWRAP_STOPPED] = "stopped"};
    struct message_rewrap m;
    int r = check_size(body, sizeof(m), err);
    if (r < 0)
        return r;
    memcpy(&m, body.data, sizeof(m));
    if (m.state >= ARRAY_SIZE(states))
        return error_set(err, EPROTO, "the keeper rewraps in an unknown state");
    const struct message_rewrapped *n = &m.counts;
    json_t *error = m.why.text[0] ? plain_json(m.why.text) : NULL;
    json_t *hint = m.why.hint[0] ? plain_json(m.why.hint) : NULL;
    return admin_reply_json(
        c, status,
        json_pack("{s:s, s:s?, s:s?, s:o, s:o, s:I, s:I, s:I, s:I, s:o?, s:o?}", "state",
                  states[m.state], "id", m.id[0] ? m.id : NULL, "user",
                  m.user.name[0] ? m.user.name : NULL, "begun", admin_time((time_t)m.begun),
                  "ended", admin_time((time_t)m.ended), "total", (json_int_t)m.total, "done",
                  (json_int_t)n->done, "already", (json_int_t)n->already, "failed",
                  (json_int_t)n->failed, "error", error, "hint", hint),
        err);
}

int admin_rewrap(struct admin_call *c, struct error *err)
{
    static const char *const known[] = {NULL};
    const struct message_user user = user_of(c);
    const struct bytes part = BYTES(&user, sizeof(user));
    struct bytes body;
    int r = json_only_keys(c->body, known, "request", err);
    if (r == 0)
        r = ask(c->admin, MESSAGE_REWRAP, &part, 1, PATIENCE, &body, err);
    return r < 0 ? r : reply_rewrap(c, 202, body, err);
}

int admin_get_rewrap(struct admin_call *c, struct error *err)
{
    struct bytes body;
    int r = ask(c->admin, MESSAGE_REWRAP_STATE, NULL, 0, PATIENCE, &body, err);
    return r < 0 ? r : reply_rewrap(c, 200, body, err);
}

int admin_get_checkpoint(struct admin_call *c, struct error *err)
{
    struct audit_checkpoint to = {0};
    struct message_checkpoint m;
    struct bytes body;
    int r = ask(c->admin, MESSAGE_CHECKPOINT, NULL, 0, PATIENCE, &body, err);
    if (r == 0 && (body.size <= sizeof(m) || body.size - sizeof(m) > sizeof(to.signature)))
        r = error_set(err, EPROTO, "the keeper's checkpoint has %zu bytes", body.size);
    if (r < 0)
        return r;
    memcpy(&m, body.data, sizeof(m));
    to.state.sequence = m.sequence;
    memcpy(to.state.hash, m.hash, sizeof(m.hash));
    to.time = (time_t)m.time;
    to.signature_size = body.size - sizeof(m);
    memcpy(to.signature, body.data + sizeof(m), to.signature_size);
    snprintf(to.broker, sizeof(to.broker), "%s", c->admin->config->name);
    c->reply.status = 200;
    c->reply.type = "application/json";
    return audit_checkpoint_format(&to, &c->reply.body, err);
}
