#include "cli/audit_options.h"
#include "cli/command.h"

int audit_open(struct audit_reader *ret, struct paths *paths, const char *folder, struct error *err)
{
    int r = paths_of(paths, folder, err);
    return r < 0 ? r : audit_reader_open(ret, paths->audit, err);
}

int audit_conclude(const struct audit_reader *a)
{
    return a->broken.text[0] ? report_error(&a->broken, EXIT_REFUSED, false) : EXIT_OK;
}
