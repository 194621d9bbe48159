#include "cli/audit_witness.h"
#include "base/io.h"
#include "base/utc.h"
#include "crypto/key_file.h"

#include <inttypes.h>
#include <string.h>

static int load_key(EVP_PKEY **ret, const char *path, struct error *err)
{
    _buffer_ struct buffer text = {0};
    int r = read_file(path, KEY_FILE_MAX, &text, err);
    return r < 0 ? r : key_file_parse(ret, buffer_bytes(&text), path, err);
}

int audit_witness_load(struct audit_witness *ret, const char *path, const char *certificate,
                       struct error *err)
{
    _evp_pkey_ EVP_PKEY *key = NULL;
    _buffer_ struct buffer text = {0};
    struct audit_witness w = {0};
    int r = load_key(&key, certificate, err);
    if (r == 0)
        r = read_file(path, AUDIT_CHECKPOINT_MAX, &text, err);
    if (r == 0)
        r = audit_checkpoint_parse(&w.checkpoint, buffer_bytes(&text), path, err);
    if (r == 0)
        r = audit_checkpoint_verify(&w.checkpoint, key, path, err);
    if (r == -EKEYREJECTED)
        error_hint(err, r, "is %s the certificate of the broker that signed it?", certificate);
    if (r == 0)
        *ret = w;
    return r;
}

void audit_witness_see(struct audit_witness *w, const struct audit_state *s)
{
    if (s->sequence != w->checkpoint.state.sequence)
        return;
    w->reached = true;
    w->holds = memcmp(s->hash, w->checkpoint.state.hash, AUDIT_HASH_SIZE) == 0;
}

int audit_witness_judge(const struct audit_witness *w, uint64_t last, const char *path,
                        struct error *err)
{
    char time[UTC_TEXT_SIZE] = "";
    const struct audit_checkpoint *c = &w->checkpoint;
    if (w->holds || utc_format(c->time, time) < 0)
        return w->holds ? 0 : error_set(err, EUCLEAN, "%s: not as the checkpoint says", path);
    if (w->reached)
        error_set(err, EUCLEAN,
                  "%s: record %" PRIu64 " is not the one that was signed at %s: the chain was made "
                  "anew from that record on, or from an earlier one",
                  path, c->state.sequence, time);
    else
        error_set(err, EUCLEAN,
                  "%s: ends with record %" PRIu64 ", but record %" PRIu64
                  " was signed at %s: its end was cut off",
                  path, last, c->state.sequence, time);
    return error_hint(err, -EUCLEAN, "compare it with another copy, `encroot audit export`");
}

json_t *audit_witness_json(const struct audit_witness *w, bool whole)
{
    char time[UTC_TEXT_SIZE] = "";
    const struct audit_checkpoint *c = &w->checkpoint;
    const char *verdict = w->holds ? "holds" : w->reached ? "rewritten" : "truncated";
    if (utc_format(c->time, time) < 0)
        return NULL;
    return json_pack("{s:I, s:s, s:o, s:s}", "sequence", (json_int_t)c->state.sequence, "time",
                     time, "broker", plain_json(c->broker), "verdict",
                     w->reached || whole ? verdict : "unknown");
}
