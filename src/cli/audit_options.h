/* What the commands of `encroot audit` share. */
#ifndef ENCROOT_CLI_AUDIT_OPTIONS_H
#define ENCROOT_CLI_AUDIT_OPTIONS_H

#include "cli/admin_options.h"
#include "cli/audit_reader.h"
#include "cli/paths.h"

/* Whose records: of a folder, or of a broker. */
struct audit_source {
    const char *folder; /* NULL: the current one */
    struct admin_options admin;
    uint64_t last; /* of a broker: only so many; 0: all */
    /* set by audit_open() */
    struct paths paths;
    struct admin_client client;
};
#define AUDIT_SOURCE_DEFAULT                                                                       \
    {                                                                                              \
        .admin = ADMIN_OPTIONS_DEFAULT                                                             \
    }

/* Lines of an option table. */
#define AUDIT_SOURCE_SPECS(s)                                                                      \
    AUDIT_DIR_OPTION((s).folder),                                                                  \
        ADMIN_REACH_SPECS((s).admin, "broker",                                                     \
                          "the records of a broker in the place of DIR's: unix:PATH\n"             \
                          "or https://HOST:PORT (default: $ENCROOT_BROKER, else\n"                 \
                          "unix:/run/encrootd/admin.sock)")
#define AUDIT_DIR_OPTION(folder)                                                                   \
    {                                                                                              \
        'd', "dir", OPTION_STRING, "DIR", "the folder that `encroot init` made (default .)",       \
            &(folder), 0, 0                                                                        \
    }
#define AUDIT_JSON_OPTION(json)                                                                    \
    {                                                                                              \
        0, "json", OPTION_FLAG, NULL, "print the result as JSON", &(json), 0, 0                    \
    }

/* NULL, or what is wrong with the options. */
const char *audit_source_problem(const struct audit_source *s);
/* Open for reading. `source` outlives the reader. */
int audit_open(struct audit_reader *ret, struct audit_source *source, struct error *err) _must_use_;
void audit_source_free(struct audit_source *s);
#define _audit_source_ _cleanup_(audit_source_free)
/* The exit code of a reading that failed. */
int audit_exit_code(int r);

/* EXIT_OK, or EXIT_REFUSED after saying on stderr what is wrong with what was read. */
int audit_conclude(const struct audit_reader *a);

#endif
