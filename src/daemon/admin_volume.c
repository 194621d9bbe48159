/*
 * A volume with all that its effective policy is made of, as one copy in memory: what is checked is
 * what is then changed, sealed, told or exported, whatever becomes of the store in between. Each
 * change makes the effective policy anew: what no guest could pass is refused, and then nothing has
 * changed.
 */
#include "daemon/admin.h"
#include "crypto/digest.h"
#include "daemon/effective_policy.h"
#include "daemon/seals.h"

#include <inttypes.h>
#include <string.h>

#define PAGE 16 /* of reference values that are read at once */

void admin_volume_free(struct admin_volume *a)
{
    for (size_t i = 0; i < a->count; i++)
        buffer_free(&a->values[i].text);
    free(a->values);
    buffer_free(&a->policy);
    buffer_free(&a->effective);
    store_volume_free(&a->volume);
    *a = (struct admin_volume){0};
}

/* ---- loading ---- */
int admin_volume_add_values(struct admin_volume *a, struct store_values *v, struct error *err)
{
    struct store_values *larger = realloc(a->values, (a->count + 1) * sizeof(*larger));
    if (!larger)
        return error_set(err, ENOMEM, "out of memory");
    a->values = larger;
    a->values[a->count++] = *v;
    *v = (struct store_values){0};
    return 0;
}

static int add_page(struct admin_volume *a, struct store_values *page, size_t n, struct error *err)
{
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = admin_volume_add_values(a, &page[i], err);
    for (size_t i = 0; i < n; i++)
        buffer_free(&page[i].text); /* of those that had no place */
    return r;
}

static int load_values(struct admin_call *c, struct admin_volume *a, struct error *err)
{
    struct store_values page[PAGE];
    int n, r = 0;
    do {
        uint32_t after = a->count ? a->values[a->count - 1].version : 0;
        memset(page, 0, sizeof(page));
        n = store_values_list(c->admin->store, a->volume.uuid, after, page, PAGE, err);
        if (n > 0)
            r = add_page(a, page, (size_t)n, err);
    } while (r == 0 && n == PAGE);
    return n < 0 ? n : r;
}

int admin_volume_load(struct admin_call *c, struct admin_volume *a, struct error *err)
{
    int r = admin_find_volume(c, c->words[0], &a->volume, err);
    if (r == 0)
        r = store_policy_get(c->admin->store, a->volume.uuid, NULL, &a->policy, &a->effective, err);
    return r < 0 ? r : load_values(c, a, err);
}

/* ---- checking ---- */
static int digest_sources(const struct admin_volume *a, uint8_t ret[32], struct error *err)
{
    struct digest_stream *s = sources_begin(buffer_bytes(&a->policy));
    for (size_t i = 0; i < a->count; i++)
        sources_add(s, &a->values[i]);
    return sources_end(s, ret, err);
}

int admin_volume_check(struct admin_call *c, const struct admin_volume *a, struct error *err)
{
    uint8_t sources[32];
    const struct store_volume *v = &a->volume;
    int r = volume_check_policy(v, buffer_bytes(&a->effective), c->admin->seals, err);
    if (r == 0)
        r = digest_sources(a, sources, err);
    if (r == 0 && memcmp(sources, v->sources_sha256, sizeof(sources)) != 0)
        r = volume_not_sealed(v, "its policy or reference values were", err);
    return r;
}

int admin_volume_open(struct admin_call *c, struct admin_volume *a, struct error *err)
{
    int r = admin_volume_load(c, a, err);
    return r < 0 ? r : admin_volume_check(c, a, err);
}

/* ---- sealing ---- */
int admin_volume_seal(struct admin_call *c, struct admin_volume *a, struct error *err)
{
    _json_ json_t *owners = NULL;
    struct store_volume *v = &a->volume;
    a->effective.size = 0;
    int r = admin_parse_stored(&owners, buffer_bytes(&a->policy), "the stored policy", err);
    if (r == 0)
        r = effective_policy_make(&a->effective, owners, v->uuid, a->values, a->count, err);
    if (r == 0)
        r = digest_sources(a, v->sources_sha256, err);
    if (r == 0)
        r = digest_sha256(buffer_bytes(&a->effective), v->effective_sha256, err);
    return r < 0 ? r : volume_seal(v, c->admin->seals, err);
}

int admin_volume_save(struct admin_call *c, struct admin_volume *a, struct error *err)
{
    a->volume.revision++; /* as store_policy_set does */
    int r = admin_volume_seal(c, a, err);
    if (r == 0)
        r = store_policy_set(c->admin->store, &a->volume, buffer_bytes(&a->policy),
                             buffer_bytes(&a->effective), err);
    if (r == 0)
        a->volume.changed = time(NULL);
    return r;
}

/* ---- POST /v1/volumes/REF/seal ---- */
static int seal_as_it_is(struct admin_call *c, void *arg, struct error *err)
{
    _admin_volume_ struct admin_volume a = {0};
    int r = admin_volume_load(c, &a, err);
    if (r == 0)
        r = admin_volume_save(c, &a, err);
    if (r < 0)
        return r;
    change_note(&c->change, CHANGE_VOLUME_SEAL, a.volume.uuid, "revision %" PRIu64,
                a.volume.revision);
    return admin_volume_json(c, &a.volume, arg, err);
}

int admin_seal_volume(struct admin_call *c, struct error *err)
{
    static const char *const known[] = {NULL};
    json_t *result = NULL;
    int r = json_only_keys(c->body, known, "request", err);
    if (r == 0)
        r = admin_change(c, seal_as_it_is, &result, err);
    return admin_reply_result(c, r, result, err);
}
