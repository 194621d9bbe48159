/* The folder in which swtpm keeps its TPM between runs. */
#ifndef ENCROOT_TMM_TPM_STATE_H
#define ENCROOT_TMM_TPM_STATE_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>

struct tpm_state {
    char path[PATH_MAX];
    bool fresh; /* remove it when done */
    int lock;
};
#define TPM_STATE_NONE ((struct tpm_state){.lock = -1})

/*
 * STATE/tpm, locked for us (-EBUSY if another run uses it), or with `fresh` a new folder in
 * STATE. A volatile state that lies in it is dropped: it would bring registers back unmeasured.
 */
int tpm_state_open(struct tpm_state *ret, const char *state, bool fresh,
                   struct error *err) _must_use_;
void tpm_state_close(struct tpm_state *s);
#define _tpm_state_ _cleanup_(tpm_state_close)

#endif
