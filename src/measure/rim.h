/*
 * The realm initial measurement (RIM) of virtCCA: what the TMM computes over the memory and the
 * vCPUs that the hypervisor hands it before the guest starts. VIRTCCA: SHA-256, integers
 * little-endian, memory in pages of 4 KiB in ascending order of guest addresses.
 */
#ifndef ENCROOT_MEASURE_RIM_H
#define ENCROOT_MEASURE_RIM_H

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/digest.h"

#define RIM_FIRMWARE_MAX ((size_t)128 << 20)
#define RIM_VCPUS_MAX 512
#define RIM_SVE_BITS_MAX 2048
#define RIM_PMU_COUNTERS_MAX 31

struct rim_machine {
    unsigned vcpus;        /* 1 to RIM_VCPUS_MAX */
    unsigned sve_bits;     /* vector length, a multiple of 128 up to the maximum; 0: no SVE */
    unsigned pmu_counters; /* 1 to the maximum; 0: no PMU */
};

/* Can there be such a machine? -EINVAL if not. The functions below ask it first. */
int rim_machine_check(const struct rim_machine *m, struct error *err) _must_use_;

/* Firmware (at most RIM_FIRMWARE_MAX bytes, loaded at 0) and the device tree; the guest boots by
 * itself. */
int rim_of_firmware(struct digest *ret, const struct rim_machine *m, struct bytes firmware,
                    struct bytes device_tree, struct error *err) _must_use_;

/* Direct boot: an uncompressed arm64 Image, an initrd (may be empty) and the device tree. */
int rim_of_kernel(struct digest *ret, const struct rim_machine *m, struct bytes image,
                  struct bytes initrd, struct bytes device_tree, struct error *err) _must_use_;

#endif
