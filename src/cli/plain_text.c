#include "cli/plain_text.h"

#include <stdarg.h>

/* UTF-8 passes; control characters, also those of C1 (0x80 to 0x9f after 0xc2), do not. */
void plain_print(FILE *out, const char *text)
{
    bool in_c1 = false;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;
        if (*p >= 0x20 && *p != 0x7f && !c1 && !in_c1)
            fputc(*p, out);
        else
            fprintf(out, "\\x%02x", *p);
        in_c1 = c1;
    }
}

void plain_line(FILE *out, const char *fmt, ...)
{
    _free_ char *line = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&line, fmt, ap);
    va_end(ap);
    if (n < 0)
        line = NULL;
    plain_print(out, line ? line : "out of memory");
    fputc('\n', out);
}
