/* Times as text: "2026-01-31T23:59:59Z", always in UTC (RFC 3339, 5.6). */
#ifndef ENCROOT_BASE_UTC_H
#define ENCROOT_BASE_UTC_H

#include "base/cleanup.h"

#include <time.h>

#define UTC_TEXT_SIZE 21 /* with its NUL */

/* -EOVERFLOW before the year 0 and after the year 9999. */
int utc_format(time_t t, char ret[UTC_TEXT_SIZE]) _must_use_;
/* Only what utc_format would have written; -EINVAL. */
int utc_parse(const char *text, time_t *ret) _must_use_;

#endif
