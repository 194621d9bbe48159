#include "cli/volume_settings.h"
#include "cli/when.h"

#include <stddef.h>

#include <string.h>

#define NONE "none"
#define NAME_MAX_CHARACTERS 64

void volume_settings_unlimited(struct volume_settings *s)
{
    const char **limits[] = {&s->rate, &s->not_before, &s->not_after};
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
        if (!*limits[i])
            *limits[i] = NONE;
}

static int put_name(const char *text, json_t **ret, struct error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    size_t n = strlen(text);
    if (n == 0 || n > NAME_MAX_CHARACTERS || strspn(text, allowed) != n)
        return error_set(err, EINVAL,
                         "--name: expected 1 to %d letters, digits, '.', '_', '-', found \"%s\"",
                         NAME_MAX_CHARACTERS, text);
    *ret = json_string(text);
    return 0;
}

static int put_approval(const char *text, json_t **ret, struct error *err)
{
    if (strcmp(text, "auto") != 0 && strcmp(text, "manual") != 0)
        return error_set(err, EINVAL, "--approval: expected auto or manual, found \"%s\"", text);
    *ret = json_string(text);
    return 0;
}

static int put_rate(const char *text, json_t **ret, struct error *err)
{
    uint32_t seconds;
    size_t digits = strspn(text, "0123456789");
    uint64_t count = digits > 0 && digits < 10 ? strtoull(text, NULL, 10) : 0;
    if (strcmp(text, NONE) == 0) {
        *ret = json_null();
        return 0;
    }
    /* "5/h" is five in one hour */
    _free_ char *period = NULL;
    bool one =
        text[digits] == '/' && text[digits + 1] && strspn(text + digits + 1, "0123456789") == 0;
    if (asprintf(&period, "%s%s", one ? "1" : "", text[digits] ? text + digits + 1 : "") < 0) {
        period = NULL;
        return error_set(err, ENOMEM, "out of memory");
    }
    if (count == 0 || text[digits] != '/' || period_parse(&seconds, period) < 0)
        return error_set(err, EINVAL,
                         "--rate: expected N/PERIOD such as 3/1h (s, m, h, d), or none, found "
                         "\"%s\"",
                         text);
    *ret = json_pack("{s:I, s:I}", "count", (json_int_t)count, "seconds", (json_int_t)seconds);
    return 0;
}

static int put_time(const char *text, const char *option, json_t **ret, struct error *err)
{
    char when[WHEN_TEXT_SIZE];
    if (strcmp(text, NONE) == 0) {
        *ret = json_null();
        return 0;
    }
    int r = when_parse(when, text, option, err);
    if (r == 0)
        *ret = json_string(when);
    return r;
}

static int put_not_before(const char *text, json_t **ret, struct error *err)
{
    return put_time(text, "--not-before", ret, err);
}

static int put_not_after(const char *text, json_t **ret, struct error *err)
{
    return put_time(text, "--not-after", ret, err);
}

static const struct {
    const char *key;
    size_t offset;
    int (*put)(const char *text, json_t **ret, struct error *err);
} members[] = {
    {"name", offsetof(struct volume_settings, name), put_name},
    {"approval", offsetof(struct volume_settings, approval), put_approval},
    {"rate", offsetof(struct volume_settings, rate), put_rate},
    {"not_before", offsetof(struct volume_settings, not_before), put_not_before},
    {"not_after", offsetof(struct volume_settings, not_after), put_not_after},
};

int volume_settings_put(const struct volume_settings *s, json_t *to, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const char *text = *(const char *const *)((const char *)s + members[i].offset);
        json_t *value;
        if (!text)
            continue;
        int r = members[i].put(text, &value, err);
        if (r == 0 && json_object_set_new(to, members[i].key, value) < 0)
            r = error_set(err, ENOMEM, "out of memory");
        if (r < 0)
            return r;
    }
    return 0;
}
