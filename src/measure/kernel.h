/* A Linux kernel as the boot path may measure it: the file as read, what it decompresses to, and
 * the PE image that firmware starts. */
#ifndef ENCROOT_MEASURE_KERNEL_H
#define ENCROOT_MEASURE_KERNEL_H

#include "measure/reference.h"

#define KERNEL_FILE_MAX ((size_t)256 << 20)
#define KERNEL_DECOMPRESSED_MAX ((size_t)1 << 30)

/*
 * Append to the empty buffer `ret` what `file` decompresses to: the payload of an x86 bzImage, of
 * an EFI zboot image ("zimg"), of a compressed file (Image.gz); any other file is itself.
 * -EOPNOTSUPP when the payload is in a format other than gzip, xz, zstd and lz4.
 */
int kernel_decompress(struct buffer *ret, struct bytes file, struct error *err) _must_use_;

/*
 * Fill kernel, kernel_file and kernel_pe of `k`. kernel_pe is the Authenticode digest of the file,
 * or of what it decompresses to where only that is a PE (Image.gz); size 0 where neither is.
 * `kernel` has size 0 where the payload's format is unknown.
 */
int kernel_measure(struct reference_kernel *k, enum hash_alg alg, struct bytes file,
                   struct error *err) _must_use_;

/*
 * Does this kernel, without measuring it, let an initramfs from firmware
 * (LINUX_EFI_INITRD_MEDIA_GUID with LoadFile2) take the place of the boot loader's? Then it is the
 * host's choice what runs: QEMU's -initrd comes that way. Linux 5.7 to 6.8: from 5.17 they measure
 * it with a TPM, but in a guest that has none (EFI_CC_MEASUREMENT_PROTOCOL) only from 6.9.
 */
bool kernel_takes_any_initramfs(struct bytes file);

#endif
