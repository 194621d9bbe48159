#include "crypto/openssl_error.h"

#include <openssl/err.h>
#include <stdarg.h>

int openssl_error(struct error *err, int code, const char *fmt, ...)
{
    /* The first entry of the queue is the deepest and says most. */
    unsigned long first = ERR_get_error();
    const char *reason = first ? ERR_reason_error_string(first) : NULL;
    ERR_clear_error();
    char text[ERROR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return error_set(err, code, "%s%s%s", text, reason ? ": " : "", reason ? reason : "");
}
