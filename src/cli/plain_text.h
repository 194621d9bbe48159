/* Text that others may have written (a guest, a file), on its way to a terminal or into JSON. */
#ifndef ENCROOT_CLI_PLAIN_TEXT_H
#define ENCROOT_CLI_PLAIN_TEXT_H

#include "base/json.h"

/* UTF-8 passes; control characters, which could steer the terminal, become \xNN. */
void plain_print(FILE *out, const char *text);
/* One line, without its newline in `fmt`, printed that way. */
void plain_line(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
