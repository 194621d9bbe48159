/* Public example data, which is not part of the source: tests skip where it is absent. */
#ifndef ENCROOT_TESTS_SHARED_DATA_H
#define ENCROOT_TESTS_SHARED_DATA_H

#include "base/io.h"

/* False, with a message, when the file is not there: then skip(). */
static inline bool read_shared(const char *name, struct buffer *ret)
{
    const char *folder = getenv("ENCROOT_SHARED_DATA");
    const char *source = getenv("ENCROOT_SOURCE");
    char path[4096];
    if (folder)
        snprintf(path, sizeof(path), "%s/%s", folder, name);
    else
        snprintf(path, sizeof(path), "%s/../shared/data/%s", source ? source : ".", name);
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "skipped: %s is not there\n", path);
        return false;
    }
    struct error e = {0};
    if (read_file(path, 1 << 20, ret, &e) < 0)
        fail_msg("%s", e.text);
    return true;
}

#endif
