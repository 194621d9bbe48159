#include "cli/inspect.h"
#include "appraise/record.h"
#include "base/hex.h"

#define TEXT_SHOWN 8192

void inspect_put_text(json_t *object, const char *key, struct bytes text)
{
    _free_ char *escaped = text_escape(text, TEXT_SHOWN);
    if (escaped)
        json_object_set_new(object, key, json_string(escaped));
}

void inspect_put_hex(json_t *object, const char *key, struct bytes value)
{
    _free_ char *hex = malloc(2 * value.size + 1);
    if (!hex)
        return;
    hex_encode(value, hex);
    json_object_set_new(object, key, json_string(hex));
}

static void print_value(FILE *out, const json_t *v)
{
    if (json_is_string(v))
        fprintf(out, "%s", json_string_value(v));
    else if (json_is_integer(v))
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_boolean(v))
        fprintf(out, "%s", json_is_true(v) ? "yes" : "no");
    for (size_t i = 0; i < json_array_size(v); i++) {
        fputs(i ? ", " : "", out);
        print_value(out, json_array_get(v, i));
    }
}

/* An entry of a list: its members on one line, without their names. */
static void print_entry(FILE *out, json_t *entry, int indent)
{
    const char *key;
    json_t *v;
    fprintf(out, "%*s", indent, "");
    if (!json_is_object(entry))
        print_value(out, entry);
    json_object_foreach(entry, key, v)
    {
        print_value(out, v);
        fputs("  ", out);
    }
    fputc('\n', out);
}

static void print_members(FILE *out, const json_t *object, int indent)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)object, key, v)
    {
        fprintf(out, "%*s%s:", indent, "", key);
        if (json_is_object(v)) {
            fputc('\n', out);
            print_members(out, v, indent + 4);
        } else if (json_is_array(v)) {
            fputc('\n', out);
            for (size_t i = 0; i < json_array_size(v); i++)
                print_entry(out, json_array_get(v, i), indent + 4);
        } else {
            fputc(' ', out);
            print_value(out, v);
            fputc('\n', out);
        }
    }
}

void inspect_print(FILE *out, const json_t *object)
{
    print_members(out, object, 0);
}
