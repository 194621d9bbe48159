#include "store/operations.h"
#include "base/hex.h"

static int missing(const struct store *s, const uint8_t uuid[16], const char *what,
                   struct error *err)
{
    char text[UUID_TEXT_SIZE];
    uuid_format(uuid, text);
    return error_set(err, ENOENT, "%s: no %s %s", s->db->name, what, text);
}

static int put_number(void *arg, const struct db_value *c, struct error *err)
{
    return column_uint(&c[0], UINT32_MAX, arg, err);
}

int store_values_add(struct store *s, const uint8_t uuid[16], const struct store_values *v,
                     uint32_t *ret_version, struct error *err)
{
    uint64_t version;
    const struct db_value p[] = {db_bytes(BYTES(uuid, 16))};
    int r = store_check_writing(s, err);
    if (r == 0)
        r = check_text(v->label, "the label of reference values", err);
    if (r == 0 && v->text.size > STORE_POLICY_MAX)
        r = error_set(err, EFBIG, "reference values: expected at most %zu bytes, found %zu",
                      STORE_POLICY_MAX, v->text.size);
    if (r < 0)
        return r;
    r = store_write(s, STATEMENT_VALUES_NUMBER, p, put_number, &version, err);
    if (r <= 0)
        return r < 0 ? r : missing(s, uuid, "volume", err);
    const struct db_value q[] = {p[0],
                                 db_int((int64_t)version),
                                 db_int(v->valid),
                                 db_int(v->created > 0 ? v->created : time(NULL)),
                                 db_text(v->label),
                                 db_bytes(buffer_bytes(&v->text))};
    r = store_write(s, STATEMENT_VALUES_ADD, q, NULL, NULL, err);
    if (r < 0)
        return r;
    *ret_version = (uint32_t)version;
    return 0;
}

int store_values_set_valid(struct store *s, const uint8_t uuid[16], uint32_t version, bool valid,
                           struct error *err)
{
    const struct db_value p[] = {db_bytes(BYTES(uuid, 16)), db_int(version), db_int(valid)};
    int r = store_write(s, STATEMENT_VALUES_SET_VALID, p, NULL, NULL, err);
    return r < 0 ? r : r == 0 ? missing(s, uuid, "such reference values of volume", err) : 0;
}

struct values {
    struct store_values *list;
    size_t max, count;
    bool text;      /* is the last column */
    uint64_t after; /* the version before */
};

/* Whoever reads on behind the last one must come to an end. */
static int check_order(struct values *all, uint64_t version, struct error *err)
{
    if (version <= all->after)
        return error_set(err, EUCLEAN,
                         "reference values out of order: the database was changed by other means");
    all->after = version;
    return 0;
}

static int put_values(void *arg, const struct db_value *c, struct error *err)
{
    struct values *all = arg;
    struct store_values v = {0};
    uint64_t version, valid, created;
    int r = check_room(all->count, all->max, err);
    if (r == 0)
        r = column_uint(&c[0], UINT32_MAX, &version, err);
    if (r == 0)
        r = check_order(all, version, err);
    if (r == 0)
        r = column_uint(&c[1], 1, &valid, err);
    if (r == 0)
        r = column_uint(&c[2], INT64_MAX, &created, err);
    if (r == 0)
        r = column_text(&c[3], v.label, sizeof(v.label), err);
    if (r == 0 && all->text)
        r = column_buffer(&c[4], &v.text, err);
    if (r < 0)
        return r;
    v.version = (uint32_t)version;
    v.valid = valid;
    v.created = (time_t)created;
    all->list[all->count++] = v;
    return 0;
}

int store_values_list(struct store *s, const uint8_t uuid[16], uint32_t after,
                      struct store_values *ret, size_t max, struct error *err)
{
    struct values all = {ret, max, 0, true, after};
    const struct db_value p[] = {db_bytes(BYTES(uuid, 16)), db_int(after), db_int((int64_t)max)};
    int r = store_read(s, STATEMENT_VALUES_LIST, p, put_values, &all, err);
    for (size_t i = 0; r < 0 && i < all.count; i++)
        buffer_free(&ret[i].text);
    return r;
}

int store_values_heads(struct store *s, const uint8_t uuid[16], uint32_t after,
                       struct store_values *ret, size_t max, struct error *err)
{
    struct values all = {ret, max, 0, false, after};
    const struct db_value p[] = {db_bytes(BYTES(uuid, 16)), db_int(after), db_int((int64_t)max)};
    return store_read(s, STATEMENT_VALUES_HEADS, p, put_values, &all, err);
}
