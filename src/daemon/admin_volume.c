/* Policies and the seals on them. Each change makes the effective policy anew, in one transaction:
 * what no guest could pass is refused, and then nothing has changed. */
#include "daemon/admin.h"
#include "daemon/effective_policy.h"
#include "daemon/seals.h"

#include <inttypes.h>
#include <string.h>

#define PAGE 16 /* of texts that are read at once */

/* ---- what a policy is made of ---- */
void admin_versions_free(struct admin_versions *v)
{
    for (size_t i = 0; i < v->count; i++)
        buffer_free(&v->list[i].text);
    free(v->list);
    *v = (struct admin_versions){0};
}

void admin_sources_free(struct admin_sources *s)
{
    buffer_free(&s->policy);
    admin_versions_free(&s->versions);
    *s = (struct admin_sources){0};
}

static int add_page(struct admin_versions *v, struct store_values *page, size_t n,
                    struct digest_stream *digest, struct error *err)
{
    struct store_values *larger = realloc(v->list, (v->count + n) * sizeof(*larger));
    if (!larger) {
        for (size_t i = 0; i < n; i++)
            buffer_free(&page[i].text);
        return error_set(err, ENOMEM, "out of memory");
    }
    v->list = larger;
    for (size_t i = 0; i < n; i++) {
        sources_add(digest, &page[i]);
        if (!page[i].valid)
            buffer_free(&page[i].text);
        v->list[v->count++] = page[i];
    }
    return 0;
}

static int load_versions(struct admin_call *c, const uint8_t uuid[16], struct admin_versions *all,
                         struct digest_stream *digest, struct error *err)
{
    struct store_values page[PAGE];
    int n;
    do {
        uint32_t after = all->count ? all->list[all->count - 1].version : 0;
        memset(page, 0, sizeof(page));
        n = store_values_list(c->admin->store, uuid, after, page, PAGE, err);
        if (n > 0 && add_page(all, page, (size_t)n, digest, err) < 0)
            n = -ENOMEM;
    } while (n == PAGE);
    return n < 0 ? n : 0;
}

int admin_sources_load(struct admin_call *c, const uint8_t uuid[16], const char *policy,
                       struct admin_sources *ret, struct error *err)
{
    struct admin_sources s = {0};
    int r = 0;
    if (!policy)
        r = store_policy_get(c->admin->store, uuid, NULL, &s.policy, NULL, err);
    else if (buffer_append(&s.policy, policy, strlen(policy)) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    if (r < 0)
        return r;
    struct digest_stream *digest = sources_begin(buffer_bytes(&s.policy));
    r = load_versions(c, uuid, &s.versions, digest, err);
    int ended = sources_end(digest, s.sha256, r == 0 ? err : NULL);
    r = r == 0 ? ended : r;
    if (r < 0)
        admin_sources_free(&s);
    else
        *ret = s;
    return r;
}

/* ---- looking ---- */
static int check_effective(struct admin_call *c, const struct store_volume *v, struct error *err)
{
    _buffer_ struct buffer effective = {0};
    uint8_t found[32];
    int r = store_policy_get(c->admin->store, v->uuid, NULL, NULL, &effective, err);
    if (r == 0)
        r = effective_digest(buffer_bytes(&effective), found, err);
    if (r == 0 && memcmp(found, v->effective_sha256, sizeof(found)) != 0)
        r = volume_not_sealed(v, "its policy was", err);
    return r;
}

static int check_sources(struct admin_call *c, const struct store_volume *v, struct error *err)
{
    struct admin_sources s = {0};
    int r = admin_sources_load(c, v->uuid, NULL, &s, err);
    if (r == 0 && memcmp(s.sha256, v->sources_sha256, sizeof(s.sha256)) != 0)
        r = volume_not_sealed(v, "its policy or reference values were", err);
    admin_sources_free(&s);
    return r;
}

int admin_check_seals(struct admin_call *c, const struct store_volume *v, struct error *err)
{
    int r = volume_check_seal(v, c->admin->seals, err);
    if (r == 0)
        r = check_effective(c, v, err);
    return r < 0 ? r : check_sources(c, v, err);
}

/* ---- sealing ---- */
int admin_seal(struct admin_call *c, struct store_volume *v, struct bytes effective,
               const uint8_t sources[32], struct error *err)
{
    memcpy(v->sources_sha256, sources, sizeof(v->sources_sha256));
    int r = effective_digest(effective, v->effective_sha256, err);
    return r < 0 ? r : volume_seal(v, c->admin->seals, err);
}

static int renew(struct admin_call *c, struct store_volume *v, const struct admin_sources *s,
                 struct error *err)
{
    _buffer_ struct buffer effective = {0};
    _json_ json_t *owners = NULL;
    int r = admin_parse_stored(&owners, buffer_bytes(&s->policy), "the stored policy", err);
    if (r == 0)
        r = effective_policy_make(&effective, owners, v->uuid, s->versions.list, s->versions.count,
                                  err);
    if (r == 0)
        r = admin_seal(c, v, buffer_bytes(&effective), s->sha256, err);
    if (r == 0)
        r = store_policy_set(c->admin->store, v, buffer_bytes(&s->policy), buffer_bytes(&effective),
                             err);
    if (r == 0) {
        v->revision++;
        v->changed = time(NULL);
    }
    return r;
}

int admin_policy_renew(struct admin_call *c, struct store_volume *v, json_t *policy,
                       struct error *err)
{
    struct admin_sources s = {0};
    _free_ char *text = policy ? json_dumps(policy, JSON_COMPACT) : NULL;
    if (policy && !text)
        return error_set(err, ENOMEM, "out of memory");
    int r = admin_sources_load(c, v->uuid, text, &s, err);
    if (r == 0)
        r = renew(c, v, &s, err);
    admin_sources_free(&s);
    return r;
}

/* ---- POST /v1/volumes/REF/seal ---- */
static int seal_as_it_is(struct admin_call *c, void *arg, struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    int r = admin_find_volume(c, c->words[0], &v, err);
    if (r == 0)
        r = admin_policy_renew(c, &v, NULL, err);
    if (r < 0)
        return r;
    change_note(&c->change, CHANGE_VOLUME_SEAL, v.uuid, "revision %" PRIu64, v.revision);
    return admin_volume_json(c, &v, arg, err);
}

int admin_seal_volume(struct admin_call *c, struct error *err)
{
    static const char *const known[] = {NULL};
    json_t *result = NULL;
    int r = json_only_keys(c->body, known, "request", err);
    if (r == 0)
        r = admin_change(c, seal_as_it_is, &result, err);
    if (r < 0) {
        json_decref(result);
        return r;
    }
    return admin_reply_json(c, 200, result, err);
}
