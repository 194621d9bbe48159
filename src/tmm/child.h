/* Programs that live and die with us. */
#ifndef ENCROOT_TMM_CHILD_H
#define ENCROOT_TMM_CHILD_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct child {
    char *const *argv; /* argv[0] is looked up in PATH */
    const int *keep;   /* descriptors that it inherits besides 0 to 2 */
    size_t keep_count;
    bool background; /* own process group, input and output nowhere */
};

/*
 * Start it. It is killed if we end, however we end, and has no signal blocked. A program that
 * cannot be executed is an error here, not an exit status later.
 */
int child_start(pid_t *ret, const struct child *c, struct error *err) _must_use_;

#endif
