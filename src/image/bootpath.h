/*
 * What firmware and GRUB read from the ESP and /boot before the kernel: the programs and the
 * chain of configuration files.
 */
#ifndef ENCROOT_IMAGE_BOOTPATH_H
#define ENCROOT_IMAGE_BOOTPATH_H

#include "image/grubcfg.h"
#include "image/layout.h"

#define LOADER_MAX ((size_t)64 << 20)

/* A grub.cfg on the ESP. */
struct esp_config {
    char *path;   /* "/EFI/debian/grub.cfg" */
    char *target; /* of its configfile, on the boot filesystem; NULL: not known */
    bool plain;   /* leads to the main configuration and does nothing else */
    bool main;    /* has the menu itself */
};

struct bootpath {
    char *shim; /* path on the ESP, NULL if GRUB is started directly */
    char *grub;
    bool fallback;        /* shim's fallback loader lies beside it, and starts before GRUB */
    uint16_t elf_machine; /* of the programs that run there (ELF e_machine) */
    struct buffer shim_file;
    struct buffer grub_file;
    bool load_file2; /* GRUB hands the initramfs over by the protocol that firmware can use too */
    struct esp_config *configs;
    size_t config_count;
    size_t first;     /* the one that GRUB reads first */
    bool main_on_esp; /* it is configs[first] itself */
    char *main_path;  /* of the main configuration, on /boot or the ESP */
    struct buffer main_text;
    struct grub_config main_config;
    struct buffer grubenv; /* beside the main configuration; may be empty */
};

/* -ENOENT names what is missing. */
int bootpath_read(struct bootpath *ret, struct layout *l, struct error *err) _must_use_;
void bootpath_free(struct bootpath *p);
#define _bootpath_ _cleanup_(bootpath_free)

#endif
