/* Authenticode digest of a PE image: what firmware measures when it starts one, and what signing
 * tools sign ("Windows Authenticode Portable Executable Signature Format", 2008). */
#ifndef ENCROOT_MEASURE_PE_H
#define ENCROOT_MEASURE_PE_H

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/digest.h"

/* Starts like a PE ("MZ" and a PE signature where the header points). No promise that it is one. */
bool pe_probe(struct bytes file);

/*
 * PE32 and PE32+ for the machines we know (x86-64, aarch64, and i386, arm, riscv64, loongarch64
 * for what boots there). -EBADMSG, with what is wrong, if any size or offset leaves the file.
 */
int pe_authenticode(struct digest *ret, enum hash_alg alg, struct bytes file,
                    struct error *err) _must_use_;

#endif
