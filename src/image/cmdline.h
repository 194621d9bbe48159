/*
 * The kernel command line of an encrypted guest: the guest's own, with the root on the mapper
 * device and without the words that open another way into an attested guest (ATTACKS, E7, B2).
 */
#ifndef ENCROOT_IMAGE_CMDLINE_H
#define ENCROOT_IMAGE_CMDLINE_H

#include "base/bytes.h"
#include "base/error.h"

#define CMDLINE_ROOT "/dev/mapper/encroot"

/*
 * Why a word may not stay on the command line, or NULL if it may. `*fatal`: the entry exists for
 * the sake of this word (recovery mode), so it is removed with it.
 */
const char *cmdline_hatch(const char *word, bool *fatal);

struct cmdline_options {
    const char *ip;      /* value of an ip= word to set, or NULL */
    char *const *append; /* NULL-terminated further words, or NULL */
    bool noinitrd;       /* keep the kernel's EFI stub from taking an initramfs from firmware */
};

struct cmdline {
    char **words;     /* NULL-terminated, without the kernel's path */
    char **removed;   /* NULL-terminated: the words that were taken out */
    bool read_only;   /* ro/rw, the last one counts; the kernel's default is ro */
    char *root_flags; /* rootflags=, "" if none */
};

/* Rewrite for the encrypted root. -EPERM if the words hold a fatal hatch, which is then `*why`. */
int cmdline_rewrite(struct cmdline *ret, char *const *words, const struct cmdline_options *o,
                    const char **why, struct error *err) _must_use_;
void cmdline_free(struct cmdline *c);
#define _cmdline_ _cleanup_(cmdline_free)

/* Split what the user gave for --append at blanks. -EINVAL, naming it, for a hatch, a quote or a
 * character that GRUB would interpret. */
int cmdline_split_append(char ***ret, const char *text, struct error *err) _must_use_;
/* Is this the value of an ip= word (Linux, Documentation/admin-guide/nfs/nfsroot.rst)? */
int cmdline_check_ip(const char *value, struct error *err) _must_use_;

/*
 * Join as GRUB does (grub-core/lib/cmdline.c, grub_create_loader_cmdline): the text that it
 * measures after "kernel_cmdline: ".
 */
int cmdline_join(struct buffer *ret, const char *path, char *const *words) _must_use_;

#endif
