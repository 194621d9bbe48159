/* `encroot-tmm run`: one QEMU guest, its TPM, and the tokens that it gets. */
#ifndef ENCROOT_TMM_RUN_H
#define ENCROOT_TMM_RUN_H

#include "base/error.h"
#include "tmm/authority.h"

struct run_options {
    const char *state; /* folder; made if missing */
    enum authority_kind kind;
    bool platform_token;
    bool fresh_tpm;    /* a new TPM for this run, removed afterwards */
    const char *log;   /* file to append to; may be NULL */
    char *const *argv; /* QEMU's */
};

/*
 * Returns QEMU's exit status (128 + n if signal n ended it), or a negative errno when nothing
 * could be started or the guest could not be watched to its end.
 */
int run_guest(const struct run_options *o, struct error *err) _must_use_;

#endif
