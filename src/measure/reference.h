/*
 * Reference values of one image's boot path (RFC 9334, 8.3): hash.json, as the virtCCA sample
 * writes it, with keys of ours added. Reading keeps what the sample wrote; writing is
 * deterministic.
 *
 *   "grub"       Authenticode SHA-256 of the GRUB PE            (sample)
 *   "grub.cfg"   SHA-256 of the main grub.cfg                   (sample)
 *   "kernels"    [{"version", "kernel" (decompressed), "initramfs",   (sample)
 *                  "kernel_file", "kernel_authenticode", "path", "initramfs_path",
 *                  "cmdline": [..]}]                            (ours)
 *   "hash_alg"   "sha-256"                                      (sample)
 *   "shim"       Authenticode SHA-256 of shim, absent without   (ours)
 *   "grub_cfgs"  [{"path", "sha256"}]: every configuration file GRUB reads, in order, as paths
 *                relative to their filesystem                   (ours)
 *   "grub_commands" ["set timeout=1", "set prefix=(*)/grub", ...]: every command that GRUB may
 *                measure, as patterns (measure/grub_pattern.h); absent: not known  (ours)
 *   "sha-384"    the same in SHA-384, for platforms that measure so: "grub", "grub.cfg", "kernels",
 *                "shim" and "grub_cfgs" with every digest, in the order of those above ("grub_cfgs":
 *                [{"sha384"}]); texts are not repeated; absent: not known  (ours)
 */
#ifndef ENCROOT_MEASURE_REFERENCE_H
#define ENCROOT_MEASURE_REFERENCE_H

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/digest.h"

struct reference_file {
    char *path; /* "/grub/grub.cfg" */
    struct digest digest;
};

struct reference_kernel {
    char *version;
    struct digest kernel;      /* of the decompressed kernel; size 0: not known */
    struct digest kernel_file; /* of the file as read; size 0: not known (sample's hash.json) */
    struct digest kernel_pe;   /* Authenticode; size 0: not known */
    struct digest initramfs;   /* size 0: NOT_FOUND */
    char *path;                /* as GRUB names it: "/vmlinuz-6.1.0-…"; NULL: not known */
    char *initramfs_path;      /* NULL: not known */
    char **cmdlines;           /* NULL-terminated: what GRUB measures after "kernel_cmdline: ",
                                  path included; NULL: not known */
};

struct reference_values {
    enum hash_alg alg;
    struct digest shim; /* size 0: none */
    struct digest grub;
    struct digest grub_cfg;
    struct reference_file *grub_cfgs;
    size_t grub_cfg_count;
    char **grub_commands; /* NULL-terminated; NULL: not known */
    struct reference_kernel *kernels;
    size_t kernel_count;
    struct reference_values *sha384; /* the same boot path; its texts are those of this one, its
                                        arrays its own; NULL: not known */
};

/* The values whose digests are of `alg`: `v` itself or a part of it. NULL: not known. */
const struct reference_values *reference_values_in(const struct reference_values *v,
                                                   enum hash_alg alg);

int reference_values_parse(struct reference_values *ret, struct bytes json, const char *name,
                           struct error *err) _must_use_;
int reference_values_format(const struct reference_values *v, struct buffer *ret,
                            struct error *err) _must_use_;
void reference_values_free(struct reference_values *v);
#define _reference_values_ _cleanup_(reference_values_free)

#endif
