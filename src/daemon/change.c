#include "daemon/change.h"
#include "base/hex.h"
#include "broker/audit.h"
#include "daemon/log.h"
#include "daemon/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

/* What it is called in records, and what the log says of it. */
static const struct {
    const char *name, *told;
} actions[CHANGE_ACTIONS] = {
    [CHANGE_VOLUME_ADD] = {"volume.add", "registered a volume"},
    [CHANGE_VOLUME_SET] = {"volume.set", "changed a volume"},
    [CHANGE_VOLUME_REMOVE] = {"volume.remove", "removed a volume"},
    [CHANGE_VOLUME_SEAL] = {"volume.seal", "took over a volume that was changed past the broker"},
    [CHANGE_SECRET_EXPORT] = {"secret.export", "exported a volume with its secret"},
    [CHANGE_POLICY_SET] = {"policy.set", "set the policy"},
    [CHANGE_VALUES_ADD] = {"values.add", "added reference values"},
    [CHANGE_VALUES_ENABLE] = {"values.enable", "reference values are valid"},
    [CHANGE_VALUES_DISABLE] = {"values.disable", "reference values are not valid any more"},
    [CHANGE_REQUEST_APPROVE] = {"request.approve", "approved a request"},
    [CHANGE_REQUEST_DENY] = {"request.deny", "denied a request"},
    [CHANGE_VAULT_REWRAP] = {"vault.rewrap", "wraps all secrets anew"},
    [CHANGE_VAULT_REWRAPPED] = {"vault.rewrapped", "rewrapped all secrets"},
    [CHANGE_VAULT_STOPPED] = {"vault.stopped", "stopped rewrapping secrets"},
};

void change_note(struct change *c, enum change_action action, const uint8_t volume[16],
                 const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(c->detail, sizeof(c->detail), format, ap);
    va_end(ap);
    c->action = action;
    c->has_volume = volume != NULL;
    if (volume)
        memcpy(c->volume, volume, sizeof(c->volume));
}

int change_record(struct change *c, struct store *s, const char *broker, time_t now,
                  struct error *err)
{
    _store_record_ struct store_record kept = {.time = now, .has_volume = c->has_volume};
    struct audit_state last, next;
    const struct audit_change record = {.id = c->id,
                                        .action = actions[c->action].name,
                                        .user = c->user,
                                        .volume = c->has_volume ? c->volume : NULL,
                                        .detail = c->detail[0] ? c->detail : NULL,
                                        .broker = broker,
                                        .time = now};
    int r = c->action == CHANGE_NONE ? error_set(err, EINVAL, "a change that nobody notes")
                                     : release_make_id(c->id, err);
    if (r == 0)
        r = store_audit_last(s, &last.sequence, last.hash, err);
    if (r == 0)
        r = audit_make_change(&last, &record, &kept.text, &next, err);
    if (r < 0)
        return r;
    kept.sequence = c->sequence = next.sequence;
    memcpy(kept.hash, next.hash, sizeof(kept.hash));
    memcpy(kept.id, c->id, sizeof(c->id));
    memcpy(kept.volume, c->volume, sizeof(kept.volume));
    return store_audit_append(s, &kept, err);
}

void change_tell(const struct change *c)
{
    char volume[UUID_TEXT_SIZE], sequence[24];
    uuid_format(c->volume, volume);
    snprintf(sequence, sizeof(sequence), "%" PRIu64, c->sequence);
    const struct log_field fields[] = {
        {"user", c->user},
        {"volume", c->has_volume ? volume : NULL},
        {"detail", c->detail[0] ? c->detail : NULL},
        {"id", c->id},
        {"sequence", sequence},
        {NULL, NULL},
    };
    log_event(LOG_NOTICE, actions[c->action].told, fields);
    metrics_raise(METRIC_AUDIT_SEQUENCE, c->sequence);
}
