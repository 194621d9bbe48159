/* A checkpoint (broker/audit_checkpoint.h) against a chain that is being read. */
#ifndef ENCROOT_CLI_AUDIT_WITNESS_H
#define ENCROOT_CLI_AUDIT_WITNESS_H

#include "broker/audit_checkpoint.h"

struct audit_witness {
    struct audit_checkpoint checkpoint;
    bool reached; /* the chain has a record of that number */
    bool holds;   /* it is that record */
};

/*
 * A checkpoint's file, signed by the key in `certificate` (crypto/key_file.h). -EKEYREJECTED if it
 * is not.
 */
int audit_witness_load(struct audit_witness *ret, const char *path, const char *certificate,
                       struct error *err) _must_use_;
/* For each state of the chain, the empty one first. */
void audit_witness_see(struct audit_witness *w, const struct audit_state *s);
/* The chain ended, in record `last`: -EUCLEAN if it is not the one that was signed. */
int audit_witness_judge(const struct audit_witness *w, uint64_t last, const char *path,
                        struct error *err) _must_use_;
/* For programs. `whole`: the chain was read to its end. */
json_t *audit_witness_json(const struct audit_witness *w, bool whole);

#endif
