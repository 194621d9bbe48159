#include "base/json.h"
#include "base/hex.h"

#include <inttypes.h>
#include <string.h>

int json_parse(json_t **ret, struct bytes text, const char *name, struct error *err)
{
    json_error_t e;
    json_t *j = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &e);
    if (!j)
        return error_set(err, EINVAL, "%s: line %d, column %d: %s", name, e.line, e.column, e.text);
    *ret = j;
    return 0;
}

static int mistyped(const json_t *found, const char *key, const char *expected, const char *where,
                    struct error *err)
{
    if (!found)
        return error_set(err, EINVAL, "%s: \"%s\" is missing", where, key);
    return error_set(err, EINVAL, "%s: \"%s\" must be %s", where, key, expected);
}

int json_get_string(const json_t *object, const char *key, const char **ret, const char *where,
                    struct error *err)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_string(v))
        return mistyped(v, key, "a string", where, err);
    *ret = json_string_value(v);
    return 0;
}

int json_get_uint(const json_t *object, const char *key, uint64_t max, uint64_t *ret,
                  const char *where, struct error *err)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_integer(v))
        return mistyped(v, key, "a whole number", where, err);
    json_int_t n = json_integer_value(v);
    if (n < 0 || (uint64_t)n > max)
        return error_set(err, EINVAL,
                         "%s: \"%s\" must be 0 to %" PRIu64 ", found %" JSON_INTEGER_FORMAT, where,
                         key, max, n);
    *ret = (uint64_t)n;
    return 0;
}

int json_get_bool(const json_t *object, const char *key, bool *ret, const char *where,
                  struct error *err)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_boolean(v))
        return mistyped(v, key, "true or false", where, err);
    *ret = json_is_true(v);
    return 0;
}

int json_get_object(json_t *object, const char *key, json_t **ret, const char *where,
                    struct error *err)
{
    json_t *v = json_object_get(object, key);
    if (!json_is_object(v))
        return mistyped(v, key, "an object", where, err);
    *ret = v;
    return 0;
}

int json_get_array(json_t *object, const char *key, json_t **ret, const char *where,
                   struct error *err)
{
    json_t *v = json_object_get(object, key);
    if (!json_is_array(v))
        return mistyped(v, key, "an array", where, err);
    *ret = v;
    return 0;
}

int json_get_hex(const json_t *object, const char *key, uint8_t *ret, size_t size,
                 const char *where, struct error *err)
{
    const char *text;
    int r = json_get_string(object, key, &text, where, err);
    if (r < 0)
        return r;
    if (hex_decode(text, ret, size) < 0)
        return error_set(err, EINVAL, "%s: \"%s\" must be %zu hexadecimal digits", where, key,
                         2 * size);
    return 0;
}

int json_only_keys(json_t *object, const char *const known[], const char *where, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (!known[i])
            return error_set(err, EINVAL, "%s: unknown member \"%.100s\"", where, key);
    }
    return 0;
}

/* jansson takes valid UTF-8 only; what a forger wrote may be something else. */
json_t *plain_json(const char *text)
{
    json_t *j = json_string(text);
    if (j)
        return j;
    _buffer_ struct buffer ascii = {0};
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (buffer_printf(&ascii, *p < 0x80 ? "%c" : "\\x%02x", *p) < 0)
            return NULL;
    return json_stringn((const char *)ascii.data, ascii.size);
}
