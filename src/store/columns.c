#include "store/operations.h"
#include "base/json.h"

static int strange(const char *what, struct error *err)
{
    return error_set(err, EUCLEAN,
                     "%s that encroot does not write: the database was changed by "
                     "other means",
                     what);
}

int column_int(const struct db_value *v, int64_t *ret, struct error *err)
{
    if (v->null)
        return strange("no number", err);
    *ret = v->integer;
    return 0;
}

int column_uint(const struct db_value *v, uint64_t max, uint64_t *ret, struct error *err)
{
    if (v->null || v->integer < 0 || (uint64_t)v->integer > max)
        return strange("a number", err);
    *ret = (uint64_t)v->integer;
    return 0;
}

int column_text(const struct db_value *v, char *ret, size_t size, struct error *err)
{
    if (v->null || v->bytes.size >= size || memchr(v->bytes.data, 0, v->bytes.size))
        return strange("a text", err);
    memcpy(ret, v->bytes.data, v->bytes.size);
    ret[v->bytes.size] = '\0';
    return 0;
}

int column_fixed(const struct db_value *v, uint8_t *ret, size_t size, struct error *err)
{
    if (v->null || v->bytes.size != size)
        return strange("bytes", err);
    memcpy(ret, v->bytes.data, size);
    return 0;
}

int column_buffer(const struct db_value *v, struct buffer *ret, struct error *err)
{
    int r = v->null ? 0 : buffer_append(ret, v->bytes.data, v->bytes.size);
    return r < 0 ? error_errno(err, -r, "%zu bytes of the database", v->bytes.size) : 0;
}

int check_room(size_t count, size_t max, struct error *err)
{
    return count < max ? 0 : strange("more rows", err);
}

int check_text(const char *text, const char *what, struct error *err)
{
    _json_ json_t *j = json_string(text); /* jansson takes valid UTF-8 only */
    return j ? 0 : error_set(err, EINVAL, "%s: expected text in UTF-8", what);
}
