#include "protocol/agent_config.h"

#include "base/hex.h"
#include "base/json.h"

#include <ctype.h>
#include <string.h>

#define CONFIG_VERSION 1
#define MODULES_MAX 1024
#define MODULE_LIST_MAX 1024 /* aliases or dependencies of one module */
#define DEADLINE_MAX ((uint64_t)7 * 24 * 3600)
#define OFFSET_MAX ((uint64_t)1 << 60)

/*
 * The ciphers that the agent will ever set up. A list and not a check for "null": what is not
 * known to encrypt is refused (CVE-2025-59054, CVE-2025-58356; ATTACKS, D2).
 */
static const char *const ciphers[] = {"aes-xts-plain64"};

static const struct {
    const char *name;
    enum agent_failure_action action;
} failure_actions[] = {{"poweroff", AGENT_POWEROFF}, {"reboot", AGENT_REBOOT}};

static int invalid(const char *where, const char *key, const char *expected, struct error *err)
{
    return error_set(err, EINVAL, "%s: \"%s\" must be %s", where, key, expected);
}

static int get_copy(const json_t *o, const char *key, char **ret, const char *where,
                    struct error *err)
{
    const char *text;
    int r = json_get_string(o, key, &text, where, err);
    if (r < 0)
        return r;
    *ret = strdup(text);
    return *ret ? 0 : error_errno(err, ENOMEM, "%s", where);
}

static int get_uuid(const json_t *o, const char *key, uint8_t ret[16], const char *where,
                    struct error *err)
{
    const char *text;
    int r = json_get_string(o, key, &text, where, err);
    if (r < 0)
        return r;
    if (uuid_parse(text, ret) < 0)
        return invalid(where, key, "a UUID", err);
    return 0;
}

/* ---- volume ---- */
static int check_cipher(const char *cipher, const char *where, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(ciphers); i++)
        if (strcmp(cipher, ciphers[i]) == 0)
            return 0;
    return error_set(err, EINVAL, "%s: \"cipher\" must be \"%s\", found \"%.100s\"", where,
                     ciphers[0], cipher);
}

static int check_geometry(const struct agent_config *c, const char *where, struct error *err)
{
    if (c->sector_size != 512 && c->sector_size != 4096)
        return invalid(where, "sector_size", "512 or 4096", err);
    if (c->data_offset == 0 || c->data_offset % 4096 != 0)
        return invalid(where, "data_offset", "a multiple of 4096, not 0", err);
    if (c->data_size == 0 || c->data_size % c->sector_size != 0)
        return invalid(where, "data_size", "a multiple of sector_size, not 0", err);
    return 0;
}

static int parse_volume(struct agent_config *c, json_t *o, struct error *err)
{
    static const char *const known[] = {"uuid",        "partition", "cipher", "sector_size",
                                        "data_offset", "data_size", NULL};
    const char *where = "agent.json: volume";
    uint64_t sector_size = 0;
    int r;
    if ((r = json_only_keys(o, known, where, err)) < 0 ||
        (r = get_uuid(o, "uuid", c->volume_uuid, where, err)) < 0 ||
        (r = get_uuid(o, "partition", c->partition_uuid, where, err)) < 0 ||
        (r = get_copy(o, "cipher", &c->cipher, where, err)) < 0 ||
        (r = check_cipher(c->cipher, where, err)) < 0 ||
        (r = json_get_uint(o, "sector_size", UINT32_MAX, &sector_size, where, err)) < 0 ||
        (r = json_get_uint(o, "data_offset", OFFSET_MAX, &c->data_offset, where, err)) < 0 ||
        (r = json_get_uint(o, "data_size", OFFSET_MAX, &c->data_size, where, err)) < 0)
        return r;
    c->sector_size = (uint32_t)sector_size;
    return check_geometry(c, where, err);
}

/* ---- root filesystem ---- */
static bool is_filesystem_name(const char *name)
{
    if (!*name || strlen(name) > 15)
        return false;
    for (; *name; name++)
        if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name))
            return false;
    return true;
}

static int parse_root(struct agent_config *c, json_t *o, struct error *err)
{
    static const char *const known[] = {"type", "read_only", "flags", NULL};
    const char *where = "agent.json: root";
    int r;
    if ((r = json_only_keys(o, known, where, err)) < 0 ||
        (r = get_copy(o, "type", &c->root_type, where, err)) < 0 ||
        (r = json_get_bool(o, "read_only", &c->root_read_only, where, err)) < 0 ||
        (r = get_copy(o, "flags", &c->root_flags, where, err)) < 0)
        return r;
    if (!is_filesystem_name(c->root_type))
        return invalid(where, "type", "the name of a filesystem", err);
    /* The kernel takes mount data up to a page. */
    if (strlen(c->root_flags) >= 4096)
        return invalid(where, "flags", "shorter than 4096 bytes", err);
    return 0;
}

/* ---- broker ---- */
static int parse_pins(struct agent_config *c, json_t *array, const char *where, struct error *err)
{
    size_t n = json_array_size(array);
    if (n == 0 || n > AGENT_PINS_MAX)
        return error_set(err, EINVAL, "%s: \"pins\" must have 1 to %d entries, found %zu", where,
                         AGENT_PINS_MAX, n);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (!text || hex_decode(text, c->pins[i], sizeof(c->pins[i])) < 0)
            return error_set(err, EINVAL, "%s: \"pins\": entry %zu must be 64 hexadecimal digits",
                             where, i);
    }
    c->pin_count = n;
    return 0;
}

static int parse_endpoint(struct agent_config *c, json_t *o, struct error *err)
{
    static const char *const known[] = {"host", "port", NULL};
    struct broker_address *b = &c->brokers[c->broker_count];
    char where[64];
    snprintf(where, sizeof(where), "agent.json: broker: endpoint %zu", c->broker_count);
    const char *host = NULL;
    uint64_t port = 0;
    int r;
    if (!json_is_object(o))
        return error_set(err, EINVAL, "%s must be an object", where);
    if ((r = json_only_keys(o, known, where, err)) < 0 ||
        (r = json_get_string(o, "host", &host, where, err)) < 0 ||
        (r = json_get_uint(o, "port", UINT16_MAX, &port, where, err)) < 0)
        return r;
    if ((r = broker_host_check(host, err)) < 0)
        return error_prefix(err, r, "%s: \"host\"", where);
    if (port == 0)
        return invalid(where, "port", "from 1 to 65535", err);
    memcpy(b->host, host, strlen(host) + 1);
    b->port = (uint16_t)port;
    for (size_t i = 0; i < c->broker_count; i++)
        if (c->brokers[i].port == b->port && strcasecmp(c->brokers[i].host, b->host) == 0)
            return error_set(err, EINVAL, "%s: %s port %u is listed twice", where, host, b->port);
    c->broker_count++;
    return 0;
}

static int parse_endpoints(struct agent_config *c, json_t *array, const char *where,
                           struct error *err)
{
    size_t n = json_array_size(array);
    if (n > AGENT_BROKERS_MAX)
        return error_set(err, EINVAL, "%s: \"endpoints\" has %zu entries, at most %d are allowed",
                         where, n, AGENT_BROKERS_MAX);
    if (n == 0 && c->listen_port == 0)
        return error_set(
            err, EINVAL,
            "%s: \"listen_port\" is 0 and \"endpoints\" is empty: the agent would reach "
            "no broker, and none the agent",
            where);
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++)
        r = parse_endpoint(c, json_array_get(array, i), err);
    return r;
}

static int parse_broker(struct agent_config *c, json_t *o, struct error *err)
{
    static const char *const known[] = {"pins", "listen_port", "endpoints", NULL};
    const char *where = "agent.json: broker";
    json_t *pins = NULL;
    json_t *endpoints = NULL;
    uint64_t port = 0;
    int r;
    if ((r = json_only_keys(o, known, where, err)) < 0 ||
        (r = json_get_array(o, "pins", &pins, where, err)) < 0 ||
        (r = parse_pins(c, pins, where, err)) < 0 ||
        (r = json_get_uint(o, "listen_port", UINT16_MAX, &port, where, err)) < 0 ||
        (r = json_get_array(o, "endpoints", &endpoints, where, err)) < 0)
        return r;
    c->listen_port = (uint16_t)port;
    return parse_endpoints(c, endpoints, where, err);
}

/* ---- modules ---- */
static int parse_strings(json_t *array, char ***ret, const char *where, const char *key,
                         struct error *err)
{
    size_t n = json_array_size(array);
    if (n > MODULE_LIST_MAX)
        return error_set(err, EINVAL, "%s: \"%s\" has %zu entries, at most %d are allowed", where,
                         key, n, MODULE_LIST_MAX);
    char **list = calloc(n + 1, sizeof(*list));
    if (!list)
        return error_errno(err, ENOMEM, "%s", where);
    *ret = list; /* freed with the configuration, whatever comes */
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (!text)
            return error_set(err, EINVAL, "%s: \"%s\": entry %zu must be a string", where, key, i);
        list[i] = strdup(text);
        if (!list[i])
            return error_errno(err, ENOMEM, "%s", where);
    }
    return 0;
}

static bool listed_before(const struct agent_config *c, size_t before, const char *path)
{
    for (size_t i = 0; i < before; i++)
        if (strcmp(c->modules[i].path, path) == 0)
            return true;
    return false;
}

static int parse_module(struct agent_config *c, size_t i, json_t *o, struct error *err)
{
    static const char *const known[] = {"path", "aliases", "depends", NULL};
    struct agent_module *m = &c->modules[i];
    char where[64];
    snprintf(where, sizeof(where), "agent.json: modules: entry %zu", i);
    json_t *aliases = NULL;
    json_t *depends = NULL;
    int r;
    if (!json_is_object(o))
        return error_set(err, EINVAL, "%s must be an object", where);
    if ((r = json_only_keys(o, known, where, err)) < 0 ||
        (r = get_copy(o, "path", &m->path, where, err)) < 0 ||
        (r = json_get_array(o, "aliases", &aliases, where, err)) < 0 ||
        (r = parse_strings(aliases, &m->aliases, where, "aliases", err)) < 0 ||
        (r = json_get_array(o, "depends", &depends, where, err)) < 0 ||
        (r = parse_strings(depends, &m->depends, where, "depends", err)) < 0)
        return r;
    if (m->path[0] != '/' || strstr(m->path, "/../"))
        return invalid(where, "path", "absolute", err);
    if (listed_before(c, i, m->path))
        return error_set(err, EINVAL, "%s: %s is listed twice", where, m->path);
    for (char **d = m->depends; *d; d++)
        if (!listed_before(c, i, *d))
            return error_set(err, EINVAL, "%s: %s needs %s, which is not listed before it", where,
                             m->path, *d);
    return 0;
}

static int parse_modules(struct agent_config *c, json_t *array, struct error *err)
{
    size_t n = json_array_size(array);
    if (n > MODULES_MAX)
        return error_set(err, EINVAL, "agent.json: %zu modules, at most %d are allowed", n,
                         MODULES_MAX);
    c->modules = calloc(n + 1, sizeof(*c->modules));
    if (!c->modules)
        return error_errno(err, ENOMEM, "agent.json");
    for (size_t i = 0; i < n; i++) {
        c->module_count = i + 1; /* so that a half-read entry is freed too */
        int r = parse_module(c, i, json_array_get(array, i), err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the whole ---- */
static int parse_behaviour(struct agent_config *c, json_t *o, struct error *err)
{
    const char *where = "agent.json";
    const char *action = NULL;
    uint64_t deadline = 0;
    int r;
    if ((r = json_get_uint(o, "deadline", DEADLINE_MAX, &deadline, where, err)) < 0 ||
        (r = json_get_string(o, "on_failure", &action, where, err)) < 0)
        return r;
    if (deadline == 0)
        return invalid(where, "deadline", "at least 1 second", err);
    c->deadline = (uint32_t)deadline;
    for (size_t i = 0; i < ARRAY_SIZE(failure_actions); i++)
        if (strcmp(action, failure_actions[i].name) == 0) {
            c->on_failure = failure_actions[i].action;
            return 0;
        }
    return invalid(where, "on_failure", "\"poweroff\" or \"reboot\"", err);
}

static int parse_top(struct agent_config *c, json_t *o, struct error *err)
{
    static const char *const known[] = {"version",  "volume",     "root",    "broker",
                                        "deadline", "on_failure", "modules", NULL};
    const char *where = "agent.json";
    uint64_t version = 0;
    json_t *part = NULL;
    int r;
    if (!json_is_object(o))
        return error_set(err, EINVAL, "%s: must be an object", where);
    if ((r = json_get_uint(o, "version", UINT32_MAX, &version, where, err)) < 0)
        return r;
    if (version != CONFIG_VERSION)
        return error_set(err, EINVAL, "%s: expected version %d, found %llu", where, CONFIG_VERSION,
                         (unsigned long long)version);
    if ((r = json_only_keys(o, known, where, err)) < 0 ||
        (r = json_get_object(o, "volume", &part, where, err)) < 0 ||
        (r = parse_volume(c, part, err)) < 0 ||
        (r = json_get_object(o, "root", &part, where, err)) < 0 ||
        (r = parse_root(c, part, err)) < 0 ||
        (r = json_get_object(o, "broker", &part, where, err)) < 0 ||
        (r = parse_broker(c, part, err)) < 0 || (r = parse_behaviour(c, o, err)) < 0 ||
        (r = json_get_array(o, "modules", &part, where, err)) < 0)
        return r;
    return parse_modules(c, part, err);
}

int agent_config_parse(struct agent_config *ret, struct bytes json, struct error *err)
{
    if (json.size > AGENT_CONFIG_MAX)
        return error_set(err, EFBIG, "agent.json: %zu bytes, at most %zu are allowed", json.size,
                         AGENT_CONFIG_MAX);
    _json_ json_t *o = NULL;
    int r = json_parse(&o, json, "agent.json", err);
    if (r < 0)
        return r;
    struct agent_config c = {0};
    r = parse_top(&c, o, err);
    if (r < 0) {
        agent_config_free(&c);
        return r;
    }
    *ret = c;
    return 0;
}

static json_t *format_strings(char *const *list)
{
    json_t *array = json_array();
    for (; array && list && *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static json_t *format_modules(const struct agent_config *c)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < c->module_count; i++)
        json_array_append_new(array, json_pack("{s:s, s:o, s:o}", "path", c->modules[i].path,
                                               "aliases", format_strings(c->modules[i].aliases),
                                               "depends", format_strings(c->modules[i].depends)));
    return array;
}

static json_t *format_pins(const struct agent_config *c)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < c->pin_count && i < AGENT_PINS_MAX; i++) {
        char text[65];
        hex_encode(BYTES_OF(c->pins[i]), text);
        json_array_append_new(array, json_string(text));
    }
    return array;
}

static json_t *format_endpoints(const struct agent_config *c)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < c->broker_count; i++)
        json_array_append_new(array, json_pack("{s:s, s:i}", "host", c->brokers[i].host, "port",
                                               (int)c->brokers[i].port));
    return array;
}

static json_t *format_config(const struct agent_config *c)
{
    char volume[UUID_TEXT_SIZE];
    char partition[UUID_TEXT_SIZE];
    uuid_format(c->volume_uuid, volume);
    uuid_format(c->partition_uuid, partition);
    /* json_pack keeps the order given here, so the text is deterministic. */
    return json_pack(
        "{s:i, s:{s:s, s:s, s:s, s:I, s:I, s:I}, s:{s:s, s:b, s:s}, s:{s:o, s:i, s:o}, s:I, s:s, "
        "s:o}",
        "version", CONFIG_VERSION, "volume", "uuid", volume, "partition", partition, "cipher",
        c->cipher, "sector_size", (json_int_t)c->sector_size, "data_offset",
        (json_int_t)c->data_offset, "data_size", (json_int_t)c->data_size, "root", "type",
        c->root_type, "read_only", (int)c->root_read_only, "flags", c->root_flags, "broker", "pins",
        format_pins(c), "listen_port", (int)c->listen_port, "endpoints", format_endpoints(c),
        "deadline", (json_int_t)c->deadline, "on_failure",
        failure_actions[c->on_failure == AGENT_REBOOT].name, "modules", format_modules(c));
}

int agent_config_format(const struct agent_config *c, struct buffer *ret, struct error *err)
{
    _json_ json_t *o = format_config(c);
    if (!o)
        return error_set(err, EINVAL, "agent.json: a member is missing or is not UTF-8");
    _free_ char *text = json_dumps(o, JSON_INDENT(2));
    if (!text)
        return error_errno(err, ENOMEM, "agent.json");
    /* What the agent would refuse at boot is refused here. */
    struct agent_config check = {0};
    int r = agent_config_parse(&check, BYTES_STR(text), err);
    if (r < 0)
        return r;
    agent_config_free(&check);
    r = buffer_printf(ret, "%s\n", text);
    return r < 0 ? error_errno(err, -r, "agent.json") : 0;
}

static void free_strings(char **list)
{
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

void agent_config_free(struct agent_config *c)
{
    for (size_t i = 0; i < c->module_count; i++) {
        free(c->modules[i].path);
        free_strings(c->modules[i].aliases);
        free_strings(c->modules[i].depends);
    }
    free(c->modules);
    free(c->cipher);
    free(c->root_type);
    free(c->root_flags);
    *c = (struct agent_config){0};
}
