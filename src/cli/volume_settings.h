/* What of a volume an operator may set at any time, as options. */
#ifndef ENCROOT_CLI_VOLUME_SETTINGS_H
#define ENCROOT_CLI_VOLUME_SETTINGS_H

#include "base/json.h"
#include "cli/options.h"

struct volume_settings {
    const char *name, *approval, *rate, *not_before, *not_after; /* NULL: not given */
};

#define VOLUME_NAME_SPECS(s)                                                                       \
    {0,                                                                                            \
     "name",                                                                                       \
     OPTION_STRING,                                                                                \
     "NAME",                                                                                       \
     "what to call the volume beside its UUID: at most 64\nletters, digits, '.', '_', '-'",        \
     &(s).name,                                                                                    \
     0,                                                                                            \
     0},                                                                                           \
    {                                                                                              \
        0, "approval", OPTION_STRING, "auto|manual",                                               \
            "whether an operator must approve each release\n(encroot request)", &(s).approval, 0,  \
            0                                                                                      \
    }
#define VOLUME_SETTINGS_SPECS(s)                                                                   \
    VOLUME_NAME_SPECS(s),                                                                          \
        {0,                                                                                        \
         "rate",                                                                                   \
         OPTION_STRING,                                                                            \
         "N/PERIOD",                                                                               \
         "at most N releases in this time: 3/1h, 10/7d, 5/90s",                                    \
         &(s).rate,                                                                                \
         0,                                                                                        \
         0},                                                                                       \
        {0,                                                                                        \
         "not-before",                                                                             \
         OPTION_STRING,                                                                            \
         "TIME",                                                                                   \
         "no release before: 2026-12-01, 2026-12-01T08:30 (local),\n2026-12-01T08:30:00Z, +90m",   \
         &(s).not_before,                                                                          \
         0,                                                                                        \
         0},                                                                                       \
    {                                                                                              \
        0, "not-after", OPTION_STRING, "TIME", "no release after", &(s).not_after, 0, 0            \
    }

/* Takes away what limits there are, except those that were given. */
void volume_settings_unlimited(struct volume_settings *s);
/* Those that were given, as members of the API. -EINVAL for what is none. */
int volume_settings_put(const struct volume_settings *s, json_t *to, struct error *err) _must_use_;

#endif
