/* What a generation is made of: a configuration, its text for the processes, listening sockets. */
#ifndef ENCROOT_DAEMON_SETUP_H
#define ENCROOT_DAEMON_SETUP_H

#include "daemon/listeners.h"

struct setup {
    struct daemon_config config;
    int config_fd; /* a sealed memfd with its text; -1: there is no setup */
    int public_fd; /* the same without passwords (config_public_text) */
    struct listeners listeners;
};
#define SETUP_NONE ((struct setup){.config_fd = -1, .public_fd = -1})

/* Read the configuration and open what it names; what `old` has stays open (listeners.h). Errors
 * leave `old` as it is. */
int setup_load(struct setup *ret, const char *path, const struct setup *old,
               struct error *err) _must_use_;
/* Harmless on SETUP_NONE. `successor`: whose UNIX sockets keep their names; may be NULL. */
void setup_free(struct setup *s, const struct setup *successor);

#endif
