/*
 * What a QEMU command line says of the things that virtCCA's RIM covers, apart from the device
 * tree: firmware or kernel and initrd, vCPUs, SVE, PMU (VIRTCCA 3). All other options are passed
 * over, known or not: virtCCA's QEMU has some of its own, and QEMU itself judges them.
 */
#ifndef ENCROOT_MEASURE_QEMU_COMMAND_H
#define ENCROOT_MEASURE_QEMU_COMMAND_H

#include "measure/rim.h"

#include <stdbool.h>

/* A number of the machine, and where it was found: "-smp 4", or why it was assumed. */
struct qemu_number {
    unsigned value;
    char origin[128];
};

struct qemu_command {
    char *firmware; /* -bios, -pflash, pflash unit 0, -machine firmware=; NULL: a direct boot */
    char *kernel;   /* -kernel, -machine kernel=; may be there beside a firmware, which loads it */
    char *initrd;   /* may be NULL */
    struct qemu_number vcpus, sve_bits, pmu_counters;
};

/*
 * Read argv, NULL-terminated; argv[0] is QEMU. Nothing is opened. SVE and PMU are what the object
 * tmm-guest says, without one what -cpu says where that is unambiguous, else assumed to be none.
 * -EINVAL: neither firmware nor kernel, or a way of naming them that cannot be followed.
 */
int qemu_command_parse(struct qemu_command *ret, char *const argv[], struct error *err) _must_use_;
void qemu_command_free(struct qemu_command *c);
#define _qemu_command_ _cleanup_(qemu_command_free)

#endif
