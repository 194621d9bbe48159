/* What a RIM is computed from: read, measured, and told. */
#ifndef ENCROOT_CLI_RIM_REPORT_H
#define ENCROOT_CLI_RIM_REPORT_H

#include "base/json.h"
#include "measure/qemu_command.h"

/* Paths are borrowed. */
struct rim_inputs {
    const char *firmware;        /* NULL: a direct boot of `kernel` */
    const char *kernel, *initrd; /* initrd may be NULL */
    const char *dtb;             /* NULL: `device_tree` is there already */
    struct buffer device_tree;   /* owned */
    struct qemu_number vcpus, sve_bits, pmu_counters;
};

/*
 * Read the files and compute. *ret is a new reference: {"rim", "hash_alg", "mode", "files":
 * [{"use", "path", "size", "sha256"}], "vcpus", "sve_bits", "pmu_counters", "origin": {…}}, where
 * a device tree that QEMU made has no path, and "origin" tells where each number was found.
 */
int rim_report(json_t **ret, struct rim_inputs *in, struct error *err) _must_use_;

/* As virtCCA's gen_rim_ref: "RIM-HASH: " and upper-case digits, on stdout. */
void rim_report_print(const json_t *report);
/* The files and numbers, a line each, on stderr. */
void rim_report_explain(const json_t *report);

#endif
