/* What the commands of `encroot audit` share. */
#ifndef ENCROOT_CLI_AUDIT_OPTIONS_H
#define ENCROOT_CLI_AUDIT_OPTIONS_H

#include "cli/audit_reader.h"
#include "cli/options.h"
#include "cli/paths.h"

/* Lines of an option table. */
#define AUDIT_DIR_OPTION(folder)                                                                   \
    {                                                                                              \
        'd', "dir", OPTION_STRING, "DIR", "the folder that `encroot init` made (default .)",       \
            &(folder), 0, 0                                                                        \
    }
#define AUDIT_JSON_OPTION(json)                                                                    \
    {                                                                                              \
        0, "json", OPTION_FLAG, NULL, "print the result as JSON", &(json), 0, 0                    \
    }

/* The log of a folder, open for reading. `paths` keeps its name and outlives it. */
int audit_open(struct audit_reader *ret, struct paths *paths, const char *folder,
               struct error *err) _must_use_;

/* EXIT_OK, or EXIT_REFUSED after saying on stderr what is wrong with what was read. */
int audit_conclude(const struct audit_reader *a);

#endif
