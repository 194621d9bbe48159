/*
 * Which commands GRUB measures when it runs a configuration (grub-core/script/execute.c,
 * grub_script_execute_cmdline): each simple command that it comes to, its words after expansion.
 * Nothing is executed here. All commands of a configuration are listed, in its order, under any
 * condition, as patterns of measure/grub_pattern.h; where nothing depends on a variable, they are
 * exactly what is measured.
 */
#ifndef ENCROOT_IMAGE_GRUBCOMMANDS_H
#define ENCROOT_IMAGE_GRUBCOMMANDS_H

#include "image/grubcfg.h"

/* Append to `list` (image/text.h) the patterns of `c` that it does not have yet. */
int grub_commands_of_config(char ***list, const struct grub_config *c,
                            struct error *err) _must_use_;

/* The same of the configuration text of a file. */
int grub_commands_of_text(char ***list, struct bytes text, const char *name,
                          struct error *err) _must_use_;

/*
 * The same of what the GRUB program runs by itself before any file: the grub.cfg on its memdisk.
 * If that cannot be read (a squashfs), it is taken for the one that Debian and Ubuntu put there.
 */
int grub_commands_of_program(char ***list, struct bytes program, struct error *err) _must_use_;

#endif
