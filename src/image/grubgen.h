/*
 * The GRUB configuration of an encrypted image: made from the plan, never patched. It loads no
 * module, reads no environment and sources nothing, and `superusers` with no user in it closes
 * GRUB's editor and command line (GRUB manual, 19 "Security").
 */
#ifndef ENCROOT_IMAGE_GRUBGEN_H
#define ENCROOT_IMAGE_GRUBGEN_H

#include "image/bootplan.h"

#define GRUBGEN_MARK "# Made by encroot."

struct grubgen_entry {
    const char *title;
    const char *id; /* or NULL */
    const char *kernel;
    char *const *args;
    const char *initrd;
};

int grubgen_header(struct buffer *ret, const struct bootplan *p) _must_use_;
int grubgen_entry(struct buffer *ret, const struct grubgen_entry *e,
                  const char *boot_uuid) _must_use_;

/* The stub on the ESP: it finds the boot filesystem and goes on with `path` there. */
int grubgen_stub(struct buffer *ret, const char *boot_uuid, const char *path) _must_use_;

/* A stub as distributions write it. */
struct grub_stub {
    bool plain;   /* only search by UUID, set prefix, configfile: it need not be replaced */
    char *uuid;   /* of the filesystem searched for; NULL: unknown */
    char *path;   /* of the configuration it goes on with, on that filesystem; NULL: unknown */
    char *prefix; /* that it sets, on that filesystem; NULL: none */
};
int grub_stub_read(struct grub_stub *ret, const struct grub_config *c,
                   struct error *err) _must_use_;
void grub_stub_free(struct grub_stub *s);
#define _grub_stub_ _cleanup_(grub_stub_free)

#endif
