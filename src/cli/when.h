/* Times and periods as people write and read them. */
#ifndef ENCROOT_CLI_WHEN_H
#define ENCROOT_CLI_WHEN_H

#include "base/error.h"

#include <stdint.h>

#define WHEN_TEXT_SIZE 32

/*
 * "2026-12-01", "2026-12-01T08:30", "2026-12-01 08:30:00", in local time, or with "Z" or "+02:00"
 * behind; "now"; "+90m" from now. Becomes "2026-12-01T07:30:00Z". -EINVAL; `name` is used in
 * errors.
 */
int when_parse(char ret[WHEN_TEXT_SIZE], const char *text, const char *name,
               struct error *err) _must_use_;
/* Seconds of "90", "90s", "15m", "1h", "7d": 1 to UINT32_MAX. -EINVAL. */
int period_parse(uint32_t *ret, const char *text) _must_use_;

/* "2026-12-01T07:30:00Z" in local time: "2026-12-01 08:30:00+01:00"; anything else as it is. */
const char *when_local(const char *text, char buffer[WHEN_TEXT_SIZE]);

#endif
