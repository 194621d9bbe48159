#include "cli/audit_columns.h"
#include "base/hex.h"
#include "base/utc.h"

#include <inttypes.h>

/* In the order in which they are compared. */
static json_t *columns_of(const struct audit_record *r)
{
    time_t time = 0;
    char hash[2 * AUDIT_HASH_SIZE + 1];
    hex_encode(BYTES_OF(r->hash), hash);
    (void)!utc_parse(r->time, &time); /* audit_parse has seen that it is one */
    return json_pack("{s:I, s:s, s:I, s:s, s:i, s:s?}", "sequence", (json_int_t)r->sequence, "hash",
                     hash, "time", (json_int_t)time, "id", r->id, "granted",
                     r->verdict == AUDIT_GRANTED, "volume", r->volume);
}

static int differs(const char *column, const json_t *expected, const json_t *found,
                   const struct audit_record *r, const char *name, struct error *err)
{
    _free_ char *is = json_dumps(found, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    _free_ char *must = json_dumps(expected, JSON_ENCODE_ANY);
    error_set(err, EUCLEAN,
              "%s: record %" PRIu64 ": the column \"%s\" that is kept beside it was changed: "
              "expected %s, found %.200s",
              name, r->sequence, column, must ? must : "?", is ? is : "nothing");
    return error_hint(
        err, -EUCLEAN,
        "records are counted and found by the columns: put back what the record says, "
        "and find out who else writes to the database");
}

int audit_columns_compare(struct bytes columns, const struct audit_record *r, const char *name,
                          struct error *err)
{
    _json_ json_t *found = NULL, *expected = columns_of(r);
    const char *key;
    json_t *value;
    if (!expected)
        return error_set(err, ENOMEM, "out of memory");
    int n = json_parse(&found, columns, name, err);
    if (n < 0)
        return n;
    json_object_foreach(expected, key, value)
    {
        const json_t *there = json_object_get(found, key);
        if (!json_equal(value, there))
            return differs(key, value, there, r, name, err);
    }
    return 0;
}
