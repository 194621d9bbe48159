#include "store/operations.h"
#include "base/hex.h"

#include <ctype.h>

void store_volume_free(struct store_volume *v)
{
    buffer_free(&v->wrapped);
    v->wrapped = (struct buffer){0};
}

static int no_volume(const struct store *s, const uint8_t uuid[16], struct error *err)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(uuid, text);
    return error_set(err, ENOENT, "%s: no volume %s", s->db->name, text);
}

/* ---- reading ---- */
static int put_numbers(const struct db_value *c, struct store_volume *v, struct error *err)
{
    static const uint64_t max[9] = {1,          STORE_APPROVAL_MANUAL,
                                    UINT32_MAX, UINT32_MAX,
                                    INT64_MAX,  INT64_MAX,
                                    INT64_MAX,  INT64_MAX,
                                    INT64_MAX};
    uint64_t n[9];
    for (size_t i = 0; i < ARRAY_SIZE(n); i++) {
        int r = column_uint(&c[i], max[i], &n[i], err);
        if (r < 0)
            return r;
    }
    v->enabled = n[0];
    v->approval = (enum store_approval)n[1];
    v->rate_count = (uint32_t)n[2];
    v->rate_seconds = (uint32_t)n[3];
    v->not_before = (time_t)n[4];
    v->not_after = (time_t)n[5];
    v->revision = n[6];
    v->created = (time_t)n[7];
    v->changed = (time_t)n[8];
    return 0;
}

struct volumes {
    struct store_volume *list;
    size_t max, count;
};

static int put_volume(void *arg, const struct db_value *c, struct error *err)
{
    struct volumes *all = arg;
    struct store_volume v = {0};
    int r = check_room(all->count, all->max, err);
    if (r == 0)
        r = column_fixed(&c[0], v.uuid, sizeof(v.uuid), err);
    if (r == 0)
        r = column_text(&c[1], v.name, sizeof(v.name), err);
    if (r == 0)
        r = put_numbers(&c[2], &v, err);
    if (r == 0)
        r = column_buffer(&c[11], &v.wrapped, err);
    if (r == 0)
        r = column_fixed(&c[12], v.effective_sha256, sizeof(v.effective_sha256), err);
    if (r == 0)
        r = column_fixed(&c[13], v.sources_sha256, sizeof(v.sources_sha256), err);
    if (r == 0)
        r = column_fixed(&c[14], v.seal, sizeof(v.seal), err);
    if (r == 0)
        all->list[all->count++] = v;
    else
        store_volume_free(&v);
    return r;
}

/* Seals say that a volume is one of this broker, not that it is the one that was asked for. */
static int not_wanted(const struct store *s, struct store_volume *v, struct error *err)
{
    store_volume_free(v);
    return error_set(err, EUCLEAN,
                     "%s: it found a volume that was not asked for: the database was changed by "
                     "other means",
                     s->db->name);
}

int store_volume_get(struct store *s, const uint8_t uuid[16], struct store_volume *ret,
                     struct error *err)
{
    struct volumes one = {ret, 1, 0};
    const struct db_value p[] = {db_bytes(BYTES(uuid, 16))};
    int r = store_read(s, STATEMENT_VOLUME_GET, p, put_volume, &one, err);
    if (r <= 0)
        return r < 0 ? r : no_volume(s, uuid, err);
    return memcmp(ret->uuid, uuid, 16) == 0 ? 0 : not_wanted(s, ret, err);
}

int store_volume_find(struct store *s, const char *name, struct store_volume *ret,
                      struct error *err)
{
    uint8_t uuid[16];
    if (uuid_parse(name, uuid) == 0)
        return store_volume_get(s, uuid, ret, err);
    struct volumes one = {ret, 1, 0};
    const struct db_value p[] = {db_text(name)};
    int r = check_text(name, "the name of a volume", err);
    if (r == 0)
        r = store_read(s, STATEMENT_VOLUME_FIND, p, put_volume, &one, err);
    if (r == 0)
        return error_set(err, ENOENT, "%s: no volume \"%s\"", s->db->name, name);
    if (r < 0)
        return r;
    return strcmp(ret->name, name) == 0 ? 0 : not_wanted(s, ret, err);
}

static int list(struct store *s, enum statement n, const struct db_value *p,
                struct store_volume *ret, size_t max, struct error *err)
{
    struct volumes all = {ret, max, 0};
    int r = store_read(s, n, p, put_volume, &all, err);
    for (size_t i = 0; r < 0 && i < all.count; i++)
        store_volume_free(&ret[i]);
    return r;
}

int store_volume_list(struct store *s, const char *after, struct store_volume *ret, size_t max,
                      struct error *err)
{
    const struct db_value p[] = {db_text(after ? after : ""), db_int((int64_t)max)};
    int r = check_text(after ? after : "", "the name of a volume", err);
    return r < 0 ? r : list(s, STATEMENT_VOLUME_LIST, p, ret, max, err);
}

int store_volume_list_by_uuid(struct store *s, const uint8_t *after, struct store_volume *ret,
                              size_t max, struct error *err)
{
    const struct db_value p[] = {db_bytes(after ? BYTES(after, 16) : BYTES_NONE),
                                 db_int((int64_t)max)};
    return list(s, STATEMENT_VOLUME_LIST_BY_UUID, p, ret, max, err);
}

static int put_count(void *arg, const struct db_value *c, struct error *err)
{
    return column_uint(&c[0], INT64_MAX, arg, err);
}

int store_volume_count(struct store *s, uint64_t *ret, struct error *err)
{
    uint64_t count = 0;
    int r = store_read(s, STATEMENT_VOLUME_COUNT, NULL, put_count, &count, err);
    if (r < 0)
        return r;
    *ret = count;
    return 0;
}

/* ---- changing ---- */
/* A name that looks like another volume's UUID would hide that one. */
static int check_name(const char *name, const uint8_t uuid[16], struct error *err)
{
    uint8_t other[16];
    size_t n = strnlen(name, STORE_NAME_MAX + 1);
    bool good = n > 0 && n <= STORE_NAME_MAX;
    for (size_t i = 0; i < n && good; i++)
        good = (isascii(name[i]) && isalnum((unsigned char)name[i])) || strchr("._-", name[i]);
    if (!good)
        return error_set(err, EINVAL,
                         "the name of a volume: expected 1 to %d letters, digits, '.', '_', '-'",
                         STORE_NAME_MAX);
    if (uuid_parse(name, other) == 0 && memcmp(other, uuid, 16) != 0)
        return error_set(err, EINVAL, "the name of a volume cannot be the UUID of another one");
    return 0;
}

static int check_numbers(const struct store_volume *v, struct error *err)
{
    if (v->not_before < 0 || v->not_after < 0)
        return error_set(err, EINVAL, "the window of a volume: expected no time before 1970");
    if (v->approval != STORE_APPROVAL_AUTO && v->approval != STORE_APPROVAL_MANUAL)
        return error_set(err, EINVAL, "the approval of a volume: expected auto or manual");
    return 0;
}

static int check_size(const char *what, size_t size, size_t max, struct error *err)
{
    return size <= max ? 0
                       : error_set(err, EFBIG, "%s: expected at most %zu bytes, found %zu", what,
                                   max, size);
}

static int check_policies(struct bytes policy, struct bytes effective, struct error *err)
{
    int r = check_size("a policy", policy.size, STORE_POLICY_MAX, err);
    return r < 0 ? r : check_size("an effective policy", effective.size, STORE_POLICY_MAX, err);
}

static int check_volume(const struct store *s, const struct store_volume *v, const char *name,
                        struct error *err)
{
    int r = store_check_writing(s, err);
    if (r == 0)
        r = check_name(name, v->uuid, err);
    return r < 0 ? r : check_numbers(v, err);
}

static int taken(const struct store *s, const char *name, struct error *err)
{
    return error_set(err, EEXIST, "%s: there is a volume of this UUID, or of the name \"%s\"",
                     s->db->name, name);
}

int store_volume_add(struct store *s, const struct store_volume *v, struct bytes policy,
                     struct bytes effective, struct error *err)
{
    char uuid[UUID_TEXT_SIZE];
    uuid_format(v->uuid, uuid);
    const char *name = v->name[0] ? v->name : uuid;
    time_t now = time(NULL);
    const struct db_value p[] = {db_bytes(BYTES_OF(v->uuid)),
                                 db_text(name),
                                 db_int(v->enabled),
                                 db_int(v->approval),
                                 db_int(v->rate_count),
                                 db_int(v->rate_seconds),
                                 db_int(v->not_before),
                                 db_int(v->not_after),
                                 db_int(v->created > 0 ? v->created : now),
                                 db_int(now),
                                 db_bytes(buffer_bytes(&v->wrapped)),
                                 db_bytes(BYTES_OF(v->effective_sha256)),
                                 db_bytes(BYTES_OF(v->sources_sha256)),
                                 db_bytes(BYTES_OF(v->seal))};
    const struct db_value q[] = {p[0], db_bytes(policy), db_bytes(effective)};
    int r = check_volume(s, v, name, err);
    if (r == 0)
        r = check_size("a wrapped secret", v->wrapped.size, STORE_WRAPPED_MAX, err);
    if (r == 0)
        r = check_policies(policy, effective, err);
    if (r == 0)
        r = store_write(s, STATEMENT_VOLUME_ADD, p, NULL, NULL, err);
    if (r == 0)
        r = taken(s, name, err);
    if (r > 0)
        r = store_write(s, STATEMENT_POLICY_ADD, q, NULL, NULL, err);
    return r < 0 ? r : 0;
}

/* Why a statement about this volume changed nothing: -ENOENT, or `otherwise`. */
static int why_not(struct store *s, const uint8_t uuid[16], int otherwise, struct error *err)
{
    _store_volume_ struct store_volume v = {0};
    int r = store_volume_get(s, uuid, &v, err);
    return r < 0 ? r : otherwise;
}

int store_volume_update(struct store *s, const struct store_volume *v, struct error *err)
{
    const struct db_value p[] = {db_bytes(BYTES_OF(v->uuid)), db_text(v->name),
                                 db_int(v->enabled),          db_int(v->approval),
                                 db_int(v->rate_count),       db_int(v->rate_seconds),
                                 db_int(v->not_before),       db_int(v->not_after),
                                 db_int(time(NULL)),          db_bytes(BYTES_OF(v->seal))};
    int r = check_volume(s, v, v->name, err);
    if (r == 0)
        r = store_write(s, STATEMENT_VOLUME_UPDATE, p, NULL, NULL, err);
    else
        return r;
    if (r == 0) {
        r = why_not(s, v->uuid, -EEXIST, err);
        return r == -EEXIST ? taken(s, v->name, err) : r;
    }
    return r < 0 ? r : 0;
}

int store_volume_rewrap(struct store *s, const uint8_t uuid[16], struct bytes old, struct bytes new,
                        const uint8_t seal[STORE_SEAL_SIZE], struct error *err)
{
    const struct db_value p[] = {db_bytes(BYTES(uuid, 16)), db_bytes(old), db_bytes(new),
                                 db_bytes(BYTES(seal, STORE_SEAL_SIZE))};
    int r = check_size("a wrapped secret", new.size, STORE_WRAPPED_MAX, err);
    if (r < 0)
        return r;
    r = store_write(s, STATEMENT_VOLUME_REWRAP, p, NULL, NULL, err);
    if (r != 0)
        return r < 0 ? r : 0;
    r = why_not(s, uuid, -ESTALE, err);
    return r == -ESTALE ? error_set(err, ESTALE, "%s: the secret was wrapped anew in the meantime",
                                    s->db->name)
                        : r;
}

int store_volume_remove(struct store *s, const uint8_t uuid[16], struct error *err)
{
    const struct db_value p[] = {db_bytes(BYTES(uuid, 16))};
    int r = store_write(s, STATEMENT_VOLUME_REMOVE, p, NULL, NULL, err);
    return r < 0 ? r : r == 0 ? no_volume(s, uuid, err) : 0;
}

/* ---- policies ---- */
int store_policy_set(struct store *s, const struct store_volume *v, struct bytes policy,
                     struct bytes effective, struct error *err)
{
    const struct db_value p[] = {db_bytes(BYTES_OF(v->uuid)), db_bytes(policy),
                                 db_bytes(effective)};
    const struct db_value q[] = {p[0], db_int(time(NULL)), db_bytes(BYTES_OF(v->effective_sha256)),
                                 db_bytes(BYTES_OF(v->sources_sha256)),
                                 db_bytes(BYTES_OF(v->seal))};
    int r = store_check_writing(s, err);
    if (r == 0)
        r = check_policies(policy, effective, err);
    if (r < 0)
        return r;
    r = store_write(s, STATEMENT_POLICY_REVISE, q, NULL, NULL, err);
    if (r == 0)
        return no_volume(s, v->uuid, err);
    if (r > 0)
        r = store_write(s, STATEMENT_POLICY_SET, p, NULL, NULL, err);
    return r < 0 ? r : 0;
}

struct policy_row {
    uint64_t revision;
    struct buffer *policy, *effective;
};

static int put_policy(void *arg, const struct db_value *c, struct error *err)
{
    struct policy_row *p = arg;
    int r = column_uint(&c[0], INT64_MAX, &p->revision, err);
    size_t before = p->policy ? p->policy->size : 0;
    if (r == 0 && p->policy)
        r = column_buffer(&c[1], p->policy, err);
    if (r == 0 && p->effective)
        r = column_buffer(&c[2], p->effective, err);
    if (r < 0 && p->policy)
        p->policy->size = before;
    return r;
}

int store_policy_get(struct store *s, const uint8_t uuid[16], uint64_t *revision,
                     struct buffer *policy, struct buffer *effective, struct error *err)
{
    struct policy_row row = {.policy = policy, .effective = effective};
    const struct db_value p[] = {db_bytes(BYTES(uuid, 16))};
    int r = store_read(s, STATEMENT_POLICY_GET, p, put_policy, &row, err);
    if (r <= 0)
        return r < 0 ? r : no_volume(s, uuid, err);
    if (revision)
        *revision = row.revision;
    return 0;
}
