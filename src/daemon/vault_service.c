#include "daemon/vault_service.h"
#include "base/hex.h"
#include "daemon/log.h"
#include "daemon/seals.h"
#include "vault/seal.h"

#include <string.h>
#include <time.h>

#define STEP_VOLUMES 16
#define SIGNATURE_MAX 512

/* ---- answers ---- */
/* `code`: 0 or what failed, and why. */
static struct message_result result_of(int code, const struct error *why)
{
    struct message_result m = {.code = code};
    if (code < 0) {
        snprintf(m.text, sizeof(m.text), "%.*s", (int)sizeof(m.text) - 1, why->text);
        snprintf(m.hint, sizeof(m.hint), "%.*s", (int)sizeof(m.hint) - 1, why->hint);
    }
    return m;
}

static int answer(struct vault_service *s, int code, const struct error *why, struct bytes first,
                  struct bytes second, struct error *err)
{
    const struct message_result m = result_of(code, why);
    if (code < 0)
        first = second = BYTES_NONE;
    const struct bytes parts[] = {BYTES(&m, sizeof(m)), first, second};
    return channel_send(s->admin, MESSAGE_RESULT, 0, parts, ARRAY_SIZE(parts), err);
}

static int out_of_place(const struct frame *f, struct error *err)
{
    return error_set(err, EPROTO, "admin: message %u of %zu bytes is out of place", f->type,
                     f->body.size);
}

/* ---- the seal keys ---- */
static int take_seal_keys(struct vault_service *s, const struct frame *f, struct error *err)
{
    if (f->body.size != 0)
        return out_of_place(f, err);
    return answer(s, 0, NULL, secret_bytes(s->seals), BYTES_NONE, err);
}

/* ---- one secret ---- */
static int take_wrap(struct vault_service *s, const struct frame *f, struct error *err)
{
    if (f->body.size != 16 + VOLUME_SECRET_SIZE)
        return out_of_place(f, err);
    struct error why = {0};
    _buffer_ struct buffer wrapped = {0};
    _secret_ struct secret *secret = secret_new(VOLUME_SECRET_SIZE);
    int r = secret ? 0 : error_set(&why, ENOMEM, "no locked memory for a secret");
    if (r == 0) {
        memcpy(secret_data(secret), f->body.data + 16, VOLUME_SECRET_SIZE);
        r = kek_wrap(s->ring, f->body.data, secret, &wrapped, &why);
    }
    return answer(s, r, &why, buffer_bytes(&wrapped), BYTES_NONE, err);
}

/* The first part of a body. */
static bool read_user(struct change *c, struct bytes body)
{
    struct message_user u;
    memcpy(&u, body.data, sizeof(u));
    if (u.name[0] == '\0' || !memchr(u.name, '\0', sizeof(u.name)))
        return false;
    snprintf(c->user, sizeof(c->user), "%s", u.name);
    return true;
}

/* Alone in its transaction. */
static int record(const struct vault_service *s, struct change *c, struct error *err)
{
    int r = store_begin(s->store, err);
    if (r == 0)
        r = change_record(c, s->store, s->broker, time(NULL), err);
    if (r == 0)
        r = store_commit(s->store, err);
    if (r < 0)
        store_rollback(s->store);
    else
        change_tell(c);
    return r;
}

static int take_unwrap(struct vault_service *s, const struct frame *f, struct error *err)
{
    static const size_t user = sizeof(struct message_user);
    struct change c = {0};
    if (f->body.size < user + 16 || f->body.size > user + 16 + STORE_WRAPPED_MAX ||
        !read_user(&c, f->body))
        return out_of_place(f, err);
    struct error why = {0};
    _secret_ struct secret *secret = NULL;
    const uint8_t *volume = f->body.data + user;
    int r =
        kek_unwrap(s->ring, volume, BYTES(volume + 16, f->body.size - user - 16), &secret, &why);
    change_note(&c, CHANGE_SECRET_EXPORT, volume, "%s", "");
    if (r == 0)
        r = record(s, &c, &why);
    return answer(s, r, &why, r == 0 ? secret_bytes(secret) : BYTES_NONE, BYTES_NONE, err);
}

/* ---- all of them, under the present key ---- */
static int check_idle(const struct message_rewrap *m, struct error *err)
{
    if (m->state != REWRAP_RUNNING)
        return 0;
    return error_hint(err,
                      error_set(err, EALREADY, "all secrets are being wrapped anew already, for %s",
                                m->user.name),
                      "`encroot vault rewrap` watches it");
}

static void begin_rewrap(struct vault_service *s, const struct change *c, uint64_t total)
{
    s->rewrap = (struct message_rewrap){
        .state = REWRAP_RUNNING, .total = (uint32_t)total, .begun = time(NULL)};
    memcpy(s->rewrap.id, c->id, sizeof(s->rewrap.id));
    memcpy(s->rewrap.user.name, c->user, sizeof(s->rewrap.user.name));
    s->begun = false;
}

static int take_rewrap(struct vault_service *s, const struct frame *f, struct error *err)
{
    struct error why = {0};
    struct change c = {0};
    uint64_t total;
    if (f->body.size != sizeof(struct message_user) || !read_user(&c, f->body))
        return out_of_place(f, err);
    change_note(&c, CHANGE_VAULT_REWRAP, NULL, "%s", "");
    int r = check_idle(&s->rewrap, &why);
    if (r == 0)
        r = store_volume_count(s->store, &total, &why);
    if (r == 0)
        r = record(s, &c, &why);
    if (r == 0)
        begin_rewrap(s, &c, total);
    return answer(s, r, &why, BYTES(&s->rewrap, sizeof(s->rewrap)), BYTES_NONE, err);
}

static int take_rewrap_state(struct vault_service *s, const struct frame *f, struct error *err)
{
    if (f->body.size != 0)
        return out_of_place(f, err);
    return answer(s, 0, NULL, BYTES(&s->rewrap, sizeof(s->rewrap)), BYTES_NONE, err);
}

/* Finished, or stopped before that. What has no record has not finished. */
static void end_rewrap(struct vault_service *s, int r, struct error *why)
{
    struct message_rewrap *m = &s->rewrap;
    struct error unrecorded = {0};
    struct change c = {0};
    memcpy(c.user, m->user.name, sizeof(c.user));
    change_note(&c, r < 0 ? CHANGE_VAULT_STOPPED : CHANGE_VAULT_REWRAPPED, NULL,
                "done %u, already %u, failed %u%s%s", m->counts.done, m->counts.already,
                m->counts.failed, r < 0 ? ": " : "", r < 0 ? why->text : "");
    int recorded = record(s, &c, &unrecorded);
    if (recorded < 0)
        log_error(LOG_ERR, &unrecorded, "the end of wrapping secrets anew is not recorded");
    if (recorded < 0 && r == 0) {
        r = recorded;
        *why = unrecorded;
    }
    m->state = r < 0 ? REWRAP_STOPPED : REWRAP_FINISHED;
    m->ended = time(NULL);
    m->why = result_of(r, why);
}

static int wrap_anew(const struct vault_service *s, const struct store_volume *v,
                     struct buffer *ret, struct error *err)
{
    _secret_ struct secret *secret = NULL;
    int r = kek_unwrap(s->ring, v->uuid, buffer_bytes(&v->wrapped), &secret, err);
    return r < 0 ? r : kek_wrap(s->ring, v->uuid, secret, ret, err);
}

/* Of the new wrapping. What is not sealed was changed by somebody who may not, and stays so. */
static int seal_anew(const struct vault_service *s, struct store_volume *v,
                     const struct buffer *wrapped, struct error *err)
{
    struct store_volume anew = *v;
    anew.wrapped = *wrapped;
    int r = volume_check_seal(v, s->seals, err);
    if (r == 0)
        r = volume_seal(&anew, s->seals, err);
    memcpy(v->seal, anew.seal, sizeof(v->seal));
    return r;
}

static void tell_failed(const struct store_volume *v, const struct error *why)
{
    char volume[UUID_TEXT_SIZE];
    uuid_format(v->uuid, volume);
    const struct log_field fields[] = {{"volume", volume},
                                       {"name", v->name},
                                       {"reason", why->text},
                                       {"hint", why->hint[0] ? why->hint : NULL},
                                       {NULL, NULL}};
    log_event(LOG_ERR, "a secret cannot be wrapped anew", fields);
}

/* Negative: the store failed. */
static int rewrap_one(struct vault_service *s, struct store_volume *v,
                      struct message_rewrapped *done, struct error *err)
{
    _buffer_ struct buffer new = {0};
    struct error why = {0};
    if (kek_is_current(s->ring, buffer_bytes(&v->wrapped)) && seal_is_current(v->seal, s->seals)) {
        done->already++;
        return 0;
    }
    int r = wrap_anew(s, v, &new, &why);
    if (r == 0)
        r = seal_anew(s, v, &new, &why);
    if (r < 0) {
        tell_failed(v, &why);
        done->failed++;
        return 0;
    }
    r = store_volume_rewrap(s->store, v->uuid, buffer_bytes(&v->wrapped), buffer_bytes(&new),
                            v->seal, err);
    done->done += r == 0;
    return r;
}

/* The next few, in one transaction; what it counted is counted when it is durable. 1: they were not
 * the last. */
static int rewrap_some(struct vault_service *s, struct error *err)
{
    struct store_volume list[STEP_VOLUMES] = {0};
    struct message_rewrapped done = s->rewrap.counts;
    int n = 0, r = store_begin(s->store, err);
    if (r == 0)
        r = n = store_volume_list_by_uuid(s->store, s->begun ? s->after : NULL, list, STEP_VOLUMES,
                                          err);
    for (int i = 0; i < n && r >= 0; i++)
        r = rewrap_one(s, &list[i], &done, err);
    if (r >= 0)
        r = store_commit(s->store, err);
    if (r == 0) {
        s->rewrap.counts = done;
        s->begun = n > 0;
        memcpy(s->after, list[n > 0 ? n - 1 : 0].uuid, sizeof(s->after));
    } else {
        store_rollback(s->store);
    }
    for (int i = 0; i < n; i++)
        store_volume_free(&list[i]);
    return r < 0 ? r : n == STEP_VOLUMES;
}

void vault_service_step(struct vault_service *s)
{
    struct error why = {0};
    int r = s->admin->fd < 0 ? error_set(&why, ECANCELED, "the broker was reloaded or is ending")
                             : rewrap_some(s, &why);
    if (r <= 0)
        end_rewrap(s, r, &why);
}

/* ---- the end of the audit ---- */
static int take_checkpoint(struct vault_service *s, const struct frame *f, struct error *err)
{
    if (f->body.size != 0)
        return out_of_place(f, err);
    struct error why = {0};
    struct message_checkpoint c = {.time = time(NULL)};
    int r = store_audit_last(s->store, &c.sequence, c.hash, &why);
    const struct bytes body = BYTES(&c, sizeof(c));
    if (r == 0)
        r = channel_send(s->gate, MESSAGE_SIGN_CHECKPOINT, 0, &body, 1, &why);
    if (r < 0)
        return answer(s, r, &why, BYTES_NONE, BYTES_NONE, err);
    s->checkpoint = c;
    s->signing = true;
    return 0;
}

int vault_service_signed(struct vault_service *s, struct bytes signature, struct error *err)
{
    struct error why = {0};
    int r = 0;
    if (signature.size == 0 || signature.size > SIGNATURE_MAX)
        r = error_set(&why, EKEYREJECTED, "the gate did not sign the checkpoint");
    s->signing = false;
    return answer(s, r, &why, BYTES(&s->checkpoint, sizeof(s->checkpoint)), signature, err);
}

/* ---- requests ---- */
int vault_service_take(struct vault_service *s, const struct frame *f, struct error *err)
{
    static const struct {
        enum message type;
        int (*take)(struct vault_service *s, const struct frame *f, struct error *err);
    } requests[] = {{MESSAGE_SEAL_KEYS, take_seal_keys},
                    {MESSAGE_WRAP, take_wrap},
                    {MESSAGE_UNWRAP, take_unwrap},
                    {MESSAGE_REWRAP, take_rewrap},
                    {MESSAGE_REWRAP_STATE, take_rewrap_state},
                    {MESSAGE_CHECKPOINT, take_checkpoint}};
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        if (f->type == requests[i].type)
            return requests[i].take(s, f, err);
    return out_of_place(f, err);
}
