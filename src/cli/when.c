#include "cli/when.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

int period_parse(uint32_t *ret, const char *text)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 10)
        return -EINVAL;
    uint64_t value = strtoull(text, NULL, 10);
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcmp(text + n, units[i].unit) != 0)
            continue;
        value *= units[i].seconds;
        if (value == 0 || value > UINT32_MAX)
            return -EINVAL;
        *ret = (uint32_t)value;
        return 0;
    }
    return -EINVAL;
}

static int format_utc(char ret[WHEN_TEXT_SIZE], time_t t)
{
    struct tm utc;
    if (!gmtime_r(&t, &utc) || utc.tm_year < 70 || utc.tm_year > 8099)
        return -EINVAL;
    return strftime(ret, WHEN_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &utc) > 0 ? 0 : -EINVAL;
}

/* "", "Z", "+02:00", "-0330"; false if it is none of them. *local: the first. */
static bool parse_zone(const char *text, int *seconds, bool *local)
{
    *local = *text == '\0';
    *seconds = 0;
    if (*local || strcmp(text, "Z") == 0)
        return true;
    unsigned hours, minutes;
    int end = 0;
    if (strchr("+-", *text) == NULL || strspn(text + 1, "0123456789:") != strlen(text + 1) ||
        (sscanf(text + 1, "%2u:%2u%n", &hours, &minutes, &end) != 2 &&
         sscanf(text + 1, "%2u%2u%n", &hours, &minutes, &end) != 2) ||
        text[1 + end] || hours > 14 || minutes > 59)
        return false;
    *seconds = (int)(hours * 3600 + minutes * 60) * (*text == '-' ? -1 : 1);
    return true;
}

static bool parse_date(const char *text, time_t *ret)
{
    static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                        "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        struct tm tm = {.tm_isdst = -1};
        int seconds;
        bool local;
        const char *rest = strptime(text, forms[i], &tm);
        if (!rest || !parse_zone(rest, &seconds, &local))
            continue;
        int day = tm.tm_mday;
        *ret = local ? mktime(&tm) : timegm(&tm) - seconds;
        return tm.tm_mday == day; /* there is no 30th of February */
    }
    return false;
}

int when_parse(char ret[WHEN_TEXT_SIZE], const char *text, const char *name, struct error *err)
{
    time_t t = time(NULL);
    uint32_t period;
    bool ok = strcmp(text, "now") == 0;
    if (!ok && text[0] == '+' && period_parse(&period, text + 1) == 0) {
        t += period;
        ok = true;
    }
    if ((ok || parse_date(text, &t)) && format_utc(ret, t) == 0)
        return 0;
    int r = error_set(err, EINVAL, "%s: expected a time, found \"%s\"", name, text);
    return error_hint(err, r,
                      "2026-12-01, 2026-12-01T08:30 (local time), 2026-12-01T08:30:00Z, "
                      "+90m from now");
}

const char *when_local(const char *text, char buffer[WHEN_TEXT_SIZE])
{
    struct tm utc = {0}, local;
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (!rest || *rest)
        return text;
    time_t t = timegm(&utc);
    size_t n = localtime_r(&t, &local)
                   ? strftime(buffer, WHEN_TEXT_SIZE, "%Y-%m-%d %H:%M:%S%z", &local)
                   : 0;
    if (n < 5 || n + 2 > WHEN_TEXT_SIZE)
        return text;
    memmove(buffer + n - 1, buffer + n - 2, 3); /* "+0100" → "+01:00" */
    buffer[n - 2] = ':';
    return buffer;
}
