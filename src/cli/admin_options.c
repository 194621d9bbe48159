#include "cli/admin_options.h"
#include "base/hex.h"
#include "cli/command.h"

#include <string.h>

static int parse_pin(uint8_t ret[32], const char *text, struct error *err)
{
    static const char prefix[] = "sha256:";
    size_t n = strncmp(text, prefix, strlen(prefix)) == 0 ? strlen(prefix) : 0;
    if (hex_decode(text + n, ret, 32) == 0)
        return 0;
    return error_set(err, EINVAL, "--pin: expected sha256: and 64 hexadecimal digits, found \"%s\"",
                     text);
}

int admin_client_of(struct admin_client *ret, const struct admin_options *o, struct error *err)
{
    struct admin_client c = {.key = o->key, .certificate = o->certificate, .seconds = o->seconds};
    int r = admin_address_parse(&c.address, o->broker, err);
    if (r == 0 && c.address.tls && (!o->key || !o->certificate || !o->pin))
        r = error_hint(err,
                       error_set(err, EINVAL,
                                 "%s: needs --client-key, --client-certificate and --pin",
                                 c.address.text),
                       "by them each side knows the other; no authority vouches for either");
    if (r == 0 && c.address.tls)
        r = parse_pin(c.pin, o->pin, err);
    if (r == 0)
        *ret = c;
    return r;
}

int admin_parse(const struct usage *u, int argc, char **argv, const struct admin_options *o,
                int count, const char *what, char ***ret_operands, struct admin_client *ret)
{
    int first;
    int code = options_parse(u, argc, argv, count ? &first : NULL);
    if (code != OPTIONS_DONE)
        return code;
    if (count && argc - first != count)
        return usage_error(u, "expected %s, found %d words", what, argc - first);
    if (count)
        *ret_operands = argv + first;
    struct error err = {0};
    int r = admin_client_of(ret, o, &err);
    return r < 0 ? report_error(&err, EXIT_USAGE, o->json) : OPTIONS_DONE;
}

int admin_exit_code(int r)
{
    static const struct {
        int code;
        enum exit_code exit;
    } table[] = {
        {EKEYREJECTED, EXIT_REFUSED},     {EHOSTDOWN, EXIT_UNREACHABLE},
        {EHOSTUNREACH, EXIT_UNREACHABLE}, {ETIMEDOUT, EXIT_UNREACHABLE},
        {ECONNRESET, EXIT_UNREACHABLE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].code == -r)
            return table[i].exit;
    return exit_code_for(r);
}

int admin_report(const struct error *err, int r, bool json)
{
    return report_error(err, admin_exit_code(r), json);
}

void admin_print_json(const json_t *j)
{
    json_dumpf(j, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    putchar('\n');
}

const char *admin_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

json_int_t admin_number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

const json_t *admin_list(const json_t *answer, const char *key, struct error *err)
{
    const json_t *list = json_object_get(answer, key);
    if (json_is_array(list))
        return list;
    error_set(err, EPROTO, "the broker's answer has no list \"%s\"", key);
    return NULL;
}
