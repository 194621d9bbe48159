#include "base/utc.h"

#include <errno.h>
#include <string.h>

int utc_format(time_t t, char ret[UTC_TEXT_SIZE])
{
    struct tm tm;
    char text[64];
    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
        return -EOVERFLOW;
    /* Not strftime's %Y: it does not fill the years of the first thousand. */
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    memcpy(ret, text, UTC_TEXT_SIZE);
    return 0;
}

static int digits(const char *p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++)
        v = 10 * v + (p[i] - '0');
    return v;
}

int utc_parse(const char *text, time_t *ret)
{
    static const char form[] = "0000-00-00T00:00:00Z";
    char again[UTC_TEXT_SIZE];
    for (size_t i = 0; i < sizeof(form); i++)
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
            return -EINVAL;
    struct tm tm = {.tm_year = digits(text, 4) - 1900,
                    .tm_mon = digits(text + 5, 2) - 1,
                    .tm_mday = digits(text + 8, 2),
                    .tm_hour = digits(text + 11, 2),
                    .tm_min = digits(text + 14, 2),
                    .tm_sec = digits(text + 17, 2)};
    time_t t = timegm(&tm);
    /* A 31st of February becomes another day. */
    if (utc_format(t, again) < 0 || strcmp(again, text) != 0)
        return -EINVAL;
    *ret = t;
    return 0;
}
