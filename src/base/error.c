#include "base/error.h"

#include <stdarg.h>
#include <string.h>

/* Bytes of the character at `p`, if it is whole UTF-8 (RFC 3629, 4; the two odd cases aside) and
 * no control character, neither of ASCII nor of C1; else 0. */
static size_t printable_at(const unsigned char *p)
{
    if (*p < 0x80)
        return *p >= 0x20 && *p != 0x7f;
    size_t n = *p >= 0xf0 && *p <= 0xf4 ? 4 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xc2 ? 2 : 0;
    if (*p > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return *p == 0xc2 && p[1] < 0xa0 ? 0 : n;
}

/* Names from a request, a token or a disk end up here, and the text on an operator's terminal. */
static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p;) {
        size_t n = printable_at(p);
        if (n == 0)
            *p = '?';
        p += n ? n : 1;
    }
}

int error_set(struct error *err, int code, const char *fmt, ...)
{
    if (!err)
        return -code;
    err->code = code;
    err->hint[0] = '\0';
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    make_printable(err->text);
    return -code;
}

int error_errno(struct error *err, int code, const char *fmt, ...)
{
    if (!err)
        return -code;
    char text[ERROR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return error_set(err, code, "%s: %s", text, strerror(code));
}

int error_prefix(struct error *err, int r, const char *fmt, ...)
{
    if (!err || r >= 0)
        return r;
    char old[ERROR_TEXT_MAX];
    memcpy(old, err->text, sizeof(old));
    char context[ERROR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(context, sizeof(context), fmt, ap);
    va_end(ap);
    int n = snprintf(err->text, sizeof(err->text), "%s: ", context);
    if (n > 0 && (size_t)n < sizeof(err->text)) {
        size_t room = sizeof(err->text) - (size_t)n;
        size_t len = strnlen(old, room - 1);
        memcpy(err->text + n, old, len);
        err->text[(size_t)n + len] = '\0';
    }
    make_printable(err->text);
    return r;
}

int error_hint(struct error *err, int r, const char *fmt, ...)
{
    if (!err)
        return r;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
    va_end(ap);
    make_printable(err->hint);
    return r;
}
