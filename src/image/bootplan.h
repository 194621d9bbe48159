/*
 * Policy over a GRUB configuration: which menu entries boot a Linux of this guest in a way that
 * can be attested, which do not and why, and which one is the default.
 */
#ifndef ENCROOT_IMAGE_BOOTPLAN_H
#define ENCROOT_IMAGE_BOOTPLAN_H

#include "image/grubcfg.h"

struct boot_entry {
    char *title;
    char *id;       /* may be NULL */
    char *kernel;   /* path on the boot filesystem: "/vmlinuz-6.1.0" */
    char *version;  /* "6.1.0" */
    char **args;    /* of the kernel, as written; may be NULL */
    char **initrds; /* paths; may be NULL */
    size_t number;  /* index in the configuration */
};

struct removed_entry {
    char *title;
    char *reason;
};

struct bootplan {
    struct boot_entry *entries; /* the default first, the others in the order of the menu */
    size_t count;
    struct removed_entry *removed;
    size_t removed_count;
    int timeout;     /* seconds; -1: wait for a key; 0 if the configuration says nothing */
    char **terminal; /* unconditional serial and terminal_* commands, as text; may be NULL */
};

struct bootplan_checks {
    const char *boot_uuid; /* of the filesystem that kernels must be on */
    const char *grubenv;   /* the environment block's text, or NULL */
    /* Why this kernel cannot be booted, or NULL. The text is copied. */
    const char *(*kernel)(void *arg, const char *path, const char *version);
    void *arg;
};

int bootplan_make(struct bootplan *ret, const struct grub_config *c,
                  const struct bootplan_checks *checks, struct error *err) _must_use_;
/* Move entry `i` to the removed ones. */
int bootplan_remove(struct bootplan *p, size_t i, const char *reason, struct error *err) _must_use_;
void bootplan_free(struct bootplan *p);
#define _bootplan_ _cleanup_(bootplan_free)

/* "/vmlinuz-6.1.0" → "6.1.0"; NULL when the name says no version. Points into `path`. */
const char *kernel_version_of(const char *path);

#endif
