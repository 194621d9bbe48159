#include "daemon/seals.h"
#include "base/hex.h"
#include "crypto/digest.h"
#include "vault/seal.h"

#include <string.h>

_Static_assert(STORE_SEAL_SIZE == SEAL_SIZE, "the store keeps seals whole");

/* ---- digests ---- */
static void put_number(struct digest_stream *s, uint64_t n)
{
    uint8_t le[8];
    put_le64(le, n);
    digest_update(s, le, sizeof(le));
}

static void put_bytes(struct digest_stream *s, struct bytes b)
{
    put_number(s, b.size);
    digest_update(s, b.data, b.size);
}

struct digest_stream *sources_begin(struct bytes policy)
{
    struct digest_stream *s = digest_begin(HASH_SHA256);
    put_bytes(s, policy);
    return s;
}

void sources_add(struct digest_stream *s, const struct store_values *v)
{
    put_number(s, v->version);
    put_number(s, v->valid);
    put_bytes(s, BYTES_STR(v->label));
    put_bytes(s, buffer_bytes(&v->text));
}

int sources_end(struct digest_stream *s, uint8_t ret[32], struct error *err)
{
    struct digest d;
    if (digest_finish(s, &d) < 0)
        return error_set(err, EIO, "SHA-256 failed");
    memcpy(ret, d.bytes, 32);
    return 0;
}

/* ---- what is sealed, as bytes: all members in full, the same on every machine ---- */
struct sealed_volume {
    char kind[8];
    uint8_t uuid[16];
    char name[STORE_NAME_MAX + 1];
    uint8_t enabled[8], approval[8], rate_count[8], rate_seconds[8], not_before[8], not_after[8],
        revision[8];
    uint8_t wrapped_sha256[32], effective_sha256[32], sources_sha256[32];
};

struct sealed_request {
    char kind[8];
    uint8_t volume[16], attester[STORE_ATTESTER_SIZE];
    char id[STORE_ID_SIZE], peer[sizeof(((struct store_request *)0)->peer)];
    uint8_t state[8], expires[8];
    char decided_by[sizeof(((struct store_request *)0)->decided_by)];
};

static int volume_content(const struct store_volume *v, struct sealed_volume *ret,
                          struct error *err)
{
    struct sealed_volume c = {.kind = "volume"};
    memcpy(c.uuid, v->uuid, sizeof(c.uuid));
    memcpy(c.name, v->name, strlen(v->name));
    put_le64(c.enabled, v->enabled);
    put_le64(c.approval, v->approval);
    put_le64(c.rate_count, v->rate_count);
    put_le64(c.rate_seconds, v->rate_seconds);
    put_le64(c.not_before, (uint64_t)v->not_before);
    put_le64(c.not_after, (uint64_t)v->not_after);
    put_le64(c.revision, v->revision);
    memcpy(c.effective_sha256, v->effective_sha256, sizeof(c.effective_sha256));
    memcpy(c.sources_sha256, v->sources_sha256, sizeof(c.sources_sha256));
    *ret = c;
    return digest_sha256(buffer_bytes(&v->wrapped), ret->wrapped_sha256, err);
}

static struct sealed_request request_content(const struct store_request *q)
{
    struct sealed_request c = {.kind = "request"};
    memcpy(c.volume, q->volume, sizeof(c.volume));
    memcpy(c.attester, q->attester, sizeof(c.attester));
    memcpy(c.id, q->id, strlen(q->id));
    memcpy(c.peer, q->peer, strlen(q->peer));
    put_le64(c.state, q->state);
    put_le64(c.expires, (uint64_t)q->expires);
    memcpy(c.decided_by, q->decided_by, strlen(q->decided_by));
    return c;
}

/* ---- seals ---- */
int volume_seal(struct store_volume *v, const struct secret *keys, struct error *err)
{
    struct sealed_volume c;
    int r = volume_content(v, &c, err);
    return r < 0 ? r : seal_make(v->seal, keys, BYTES(&c, sizeof(c)), err);
}

int request_seal(struct store_request *q, const struct secret *keys, struct error *err)
{
    const struct sealed_request c = request_content(q);
    return seal_make(q->seal, keys, BYTES(&c, sizeof(c)), err);
}

int volume_not_sealed(const struct store_volume *v, const char *what, struct error *err)
{
    char uuid[UUID_TEXT_SIZE]; /* the name may be theirs, and commands are copied */
    uuid_format(v->uuid, uuid);
    int r = error_set(err, EBADMSG, "volume \"%s\": %s changed in the store, past the broker",
                      v->name, what);
    return error_hint(err, r,
                      "look at it (`encroot volume show`, `encroot volume policy`); "
                      "`encroot volume seal %s` takes it as it is",
                      uuid);
}

int volume_check_seal(const struct store_volume *v, const struct secret *keys, struct error *err)
{
    struct sealed_volume c;
    int r = volume_content(v, &c, err);
    if (r == 0)
        r = seal_check(v->seal, keys, BYTES(&c, sizeof(c)), err);
    if (r == -EBADMSG)
        return volume_not_sealed(v,
                                 bytes_are_zero(v->seal, sizeof(v->seal))
                                     ? "it has no seal: it is from before there were any, or was"
                                     : "its settings were",
                                 err);
    return r < 0 ? error_prefix(err, r, "volume \"%s\"", v->name) : 0;
}

int volume_check_policy(const struct store_volume *v, struct bytes effective,
                        const struct secret *keys, struct error *err)
{
    uint8_t found[32];
    int r = volume_check_seal(v, keys, err);
    if (r == 0)
        r = digest_sha256(effective, found, err);
    if (r == 0 && memcmp(found, v->effective_sha256, sizeof(found)) != 0)
        r = volume_not_sealed(v, "its policy was", err);
    return r;
}

int request_check_seal(const struct store_request *q, const struct secret *keys, struct error *err)
{
    const struct sealed_request c = request_content(q);
    int r = seal_check(q->seal, keys, BYTES(&c, sizeof(c)), err);
    if (r == -EBADMSG)
        return error_hint(
            err,
            error_set(err, EBADMSG, "request %s was changed in the store, past the broker", q->id),
            "the guest that asks next makes it anew");
    return r < 0 ? error_prefix(err, r, "request %s", q->id) : 0;
}
