/* The device tree that a QEMU makes for a command line. */
#ifndef ENCROOT_MEASURE_QEMU_DEVICE_TREE_H
#define ENCROOT_MEASURE_QEMU_DEVICE_TREE_H

#include "base/bytes.h"
#include "base/error.h"

#define DEVICE_TREE_MAX ((size_t)16 << 20) /* QEMU's own limit is 2 MiB */

/*
 * Run QEMU with -machine dumpdtb= (it writes the tree and ends) and -S (the guest does not run,
 * whatever happens) behind argv, NULL-terminated; -daemonize and -pidfile are left out. Everything
 * else is handed over as it is. It is run twice: a tree that is another one each time (kaslr-seed,
 * rng-seed) cannot be predicted, and is -EINVAL. Each run may take `seconds`.
 *
 * The trees are written to a private folder in TMPDIR, which is gone at the end.
 */
int qemu_device_tree(struct buffer *ret, char *const argv[], unsigned seconds,
                     struct error *err) _must_use_;

#endif
