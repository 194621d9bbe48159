/*
 * Which machine a QEMU command line describes, and its initial measurement (RIM).
 *
 * Real virtCCA measures the firmware and the device tree that the hypervisor loads (VIRTCCA 3).
 * Here the device tree's place is taken by a canonical text, one line an option:
 *   - a first line with the format's name, then the devices that encroot-tmm adds;
 *   - every option of the command line but those that only describe the host's side (back ends,
 *     consoles, debugging: the table in arguments.c), sorted by name, equal names in their order;
 *   - -machine and -device without the members that name back ends (machine.c: dropped_keys);
 *   - -drive only where it makes a device by itself (not if=none), as if, media, bus, unit, index;
 *   - -nic and -net as their model; -hda … -cdrom as their name;
 *   - -kernel and -initrd as the SHA-256 of their content, -append verbatim.
 * An option that is not known is part of the description. Options that would run code which
 * nothing measures (loader devices, -dtb, -option-rom, -incoming, …) are refused.
 *
 * What is measured is what runs: firmware, kernel and initramfs are copied once into sealed
 * memory, measured there, and QEMU is given that copy.
 */
#ifndef ENCROOT_TMM_MACHINE_H
#define ENCROOT_TMM_MACHINE_H

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/digest.h"

#define MACHINE_FIRMWARE_MAX ((size_t)128 << 20) /* VIRTCCA 3: what the RIM has room for */
#define MACHINE_FILE_MAX ((size_t)1 << 30)
#define MACHINE_FILES_MAX 3 /* firmware, kernel, initramfs */
#define MACHINE_ARGS_MAX 1024

struct machine {
    char **argv; /* QEMU's command line, NULL-terminated; owned; files are /proc/self/fd/N */
    size_t argc;
    int files[MACHINE_FILES_MAX]; /* sealed copies that QEMU must inherit */
    size_t file_count;
    int firmware; /* one of `files` */
    struct buffer description;
    unsigned vcpus;
    const char *tpm_device; /* the TPM front end that fits: "tpm-crb", "tpm-tis-device" */
};

/* Understand argv (argv[0] is QEMU). Errors name the option. */
int machine_parse(struct machine *ret, char *const argv[], struct error *err) _must_use_;
/* Append one more argument of the caller's own, after measuring. */
int machine_add_argument(struct machine *m, const char *text) _must_use_;
/* The initial measurement: firmware mode of VIRTCCA 3. */
int machine_rim(const struct machine *m, struct digest *ret, struct error *err) _must_use_;
void machine_free(struct machine *m);
#define _machine_ _cleanup_(machine_free)

/* A sealed copy of a file in memory; returns its descriptor. */
int sealed_copy(const char *path, size_t max, struct error *err) _must_use_;

#endif
