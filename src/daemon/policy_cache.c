#include "daemon/policy_cache.h"
#include "base/hex.h"

#include <string.h>

static void entry_free(struct cached_policy *e)
{
    policy_free(e->policy);
    free(e->problem);
    *e = (struct cached_policy){0};
}

static bool entry_is_empty(const struct cached_policy *e)
{
    return !e->policy && !e->problem;
}

static struct cached_policy *find(struct policy_cache *c, const uint8_t volume[16])
{
    for (size_t i = 0; i < POLICY_CACHE_SIZE; i++) {
        struct cached_policy *e = &c->entries[i];
        if (!entry_is_empty(e) && memcmp(e->volume, volume, 16) == 0)
            return e;
    }
    return NULL;
}

struct cached_policy *policy_cache_get(struct policy_cache *c, const uint8_t volume[16])
{
    struct cached_policy *e = find(c, volume);
    if (e)
        e->used = ++c->uses;
    return e;
}

/* An empty place, or that of the policy that was used longest ago. */
static struct cached_policy *make_room(struct policy_cache *c)
{
    struct cached_policy *oldest = &c->entries[0];
    for (size_t i = 1; i < POLICY_CACHE_SIZE; i++)
        if (c->entries[i].used < oldest->used)
            oldest = &c->entries[i];
    entry_free(oldest);
    return oldest;
}

int policy_cache_put(struct policy_cache *c, const uint8_t volume[16], uint64_t edition,
                     struct bytes text, struct error *err)
{
    struct cached_policy *e = find(c, volume);
    char name[UUID_TEXT_SIZE + 16], uuid[UUID_TEXT_SIZE];
    struct cached_policy new = {.edition = edition};
    struct error problem = {0};
    memcpy(new.volume, volume, 16);
    uuid_format(volume, uuid);
    snprintf(name, sizeof(name), "policy of %s", uuid);
    int r = policy_parse(&new.policy, text, name, NULL, &problem);
    if (r < 0)
        new.problem = strdup(problem.text[0] ? problem.text : name);
    if (r == -ENOMEM || entry_is_empty(&new)) {
        entry_free(&new);
        return error_set(err, ENOMEM, "%s: no memory", name);
    }
    if (e)
        entry_free(e);
    else
        e = make_room(c);
    new.used = ++c->uses;
    *e = new;
    return 0;
}

void policy_cache_drop(struct policy_cache *c, const uint8_t volume[16])
{
    struct cached_policy *e = find(c, volume);
    if (e)
        entry_free(e);
}

void policy_cache_free(struct policy_cache *c)
{
    for (size_t i = 0; i < POLICY_CACHE_SIZE; i++)
        entry_free(&c->entries[i]);
}
