#include "cli/volume_view.h"
#include "base/hex.h"
#include "cli/plain_text.h"
#include "cli/when.h"

#include <string.h>

const char *const volume_heads[] = {"NAME",   "UUID", "STATE",   "APPROVAL",
                                    "VALUES", "RATE", "CHANGED", NULL};

int volume_check(const json_t *volume, struct error *err)
{
    static const char where[] = "the broker's answer: volume";
    const char *text;
    uint8_t uuid[16];
    uint64_t n;
    bool b;
    int r = json_get_string(volume, "uuid", &text, where, err);
    if (r == 0 && uuid_parse(text, uuid) < 0)
        r = error_set(err, EINVAL, "%s: \"%.100s\" is not a UUID", where, text);
    if (r == 0)
        r = json_get_string(volume, "name", &text, where, err);
    if (r == 0)
        r = json_get_bool(volume, "enabled", &b, where, err);
    if (r == 0)
        r = json_get_string(volume, "approval", &text, where, err);
    if (r == 0)
        r = json_get_uint(volume, "revision", INT64_MAX, &n, where, err);
    if (r == 0 && !json_is_array(json_object_get(volume, "values")))
        r = error_set(err, EINVAL, "%s: \"values\" must be an array", where);
    return r < 0 ? -EPROTO : 0;
}

static size_t count_valid(const json_t *volume)
{
    size_t i, n = 0;
    const json_t *v;
    json_array_foreach(json_object_get(volume, "values"), i, v) n +=
        json_is_true(json_object_get(v, "valid"));
    return n;
}

bool volume_is_unsealed(const json_t *answer)
{
    return json_is_false(json_object_get(answer, "sealed"));
}

void volume_warn_unsealed(const char *ref, const json_t *answer)
{
    if (volume_is_unsealed(answer))
        plain_line(stderr,
                   "encroot: %s is unsealed: this may be what somebody wrote into the "
                   "broker's database who may not",
                   ref);
}

static const char *state(const json_t *volume)
{
    return json_is_true(json_object_get(volume, "enabled")) ? "enabled" : "disabled";
}

void volume_rate(const json_t *volume, char *ret, size_t size)
{
    static const struct {
        json_int_t seconds;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
    const json_t *rate = json_object_get(volume, "rate");
    json_int_t seconds = admin_number(rate, "seconds");
    ret[0] = '\0';
    for (size_t i = 0; seconds > 0 && i < ARRAY_SIZE(units); i++)
        if (seconds % units[i].seconds == 0) {
            snprintf(ret, size, "%lld/%lld%s", (long long)admin_number(rate, "count"),
                     (long long)(seconds / units[i].seconds), units[i].unit);
            return;
        }
}

void volume_line(struct table *t, const json_t *volume)
{
    char rate[64], when[WHEN_TEXT_SIZE];
    volume_rate(volume, rate, sizeof(rate));
    table_add(t, admin_text(volume, "name"));
    table_add(t, admin_text(volume, "uuid"));
    table_add(t, volume_is_unsealed(volume) ? "unsealed" : state(volume));
    table_add(t, admin_text(volume, "approval"));
    table_addf(t, "%zu of %zu", count_valid(volume),
               json_array_size(json_object_get(volume, "values")));
    table_add(t, rate);
    table_add(t, when_local(admin_text(volume, "changed"), when));
}

static void print_member(const json_t *volume, const char *key, const char *label,
                         const char *without)
{
    char when[WHEN_TEXT_SIZE];
    const char *text = admin_text(volume, key);
    plain_line(stdout, "%-12s %s", label, *text ? when_local(text, when) : without);
}

int volume_print_values(const json_t *values, struct error *err)
{
    static const char *const heads[] = {"VERSION", "STATE", "CREATED", "LABEL", NULL};
    _table_ struct table t = table_of(heads);
    size_t i;
    const json_t *v;
    json_array_foreach(values, i, v)
    {
        char when[WHEN_TEXT_SIZE];
        table_addf(&t, "%lld", (long long)admin_number(v, "version"));
        table_add(&t, json_is_true(json_object_get(v, "valid")) ? "valid" : "retired");
        table_add(&t, when_local(admin_text(v, "created"), when));
        table_add(&t, admin_text(v, "label"));
    }
    return table_print(stdout, &t,
                       "none in versions: only those in the policy itself, if any "
                       "(encroot volume values --add)",
                       err);
}

int volume_print(const json_t *volume, struct error *err)
{
    char rate[64];
    volume_rate(volume, rate, sizeof(rate));
    plain_line(stdout, "%-12s %s", "volume", admin_text(volume, "name"));
    plain_line(stdout, "%-12s %s", "uuid", admin_text(volume, "uuid"));
    plain_line(stdout, "%-12s %s%s", "state", state(volume),
               volume_is_unsealed(volume)
                   ? ", but unsealed: changed past the broker, refused until `encroot volume seal`"
                   : "");
    plain_line(stdout, "%-12s %s", "approval", admin_text(volume, "approval"));
    plain_line(stdout, "%-12s %s", "rate", *rate ? rate : "no limit");
    print_member(volume, "not_before", "not before", "no limit");
    print_member(volume, "not_after", "not after", "no limit");
    plain_line(stdout, "%-12s %lld", "revision", (long long)admin_number(volume, "revision"));
    print_member(volume, "created", "created", "-");
    print_member(volume, "changed", "changed", "-");
    puts("\nreference values");
    return volume_print_values(json_object_get(volume, "values"), err);
}

int volume_call(const struct admin_client *c, const char *method, const char *ref,
                const char *behind, const json_t *body, json_t **ret, struct error *err)
{
    _json_ json_t *volume = NULL;
    _free_ char *path = admin_path("/v1/volumes/", ref, behind);
    if (!path)
        return error_set(err, ENOMEM, "out of memory");
    int r = admin_call(c, method, path, body, &volume, err);
    if (r == 0)
        r = volume_check(volume, err);
    if (r == -ENOENT && err && !err->hint[0])
        error_hint(err, r, "`encroot volume list` lists names and UUIDs");
    if (r == 0)
        *ret = TAKE_PTR(volume);
    return r;
}
