/*
 * Guests as a broker sees them: each a machine with a key of its own, vouched for by the software
 * TMM's platform key, that booted what `encroot-load --prepare` wrote reference values of.
 */
#ifndef ENCROOT_TESTS_LOAD_MACHINE_H
#define ENCROOT_TESTS_LOAD_MACHINE_H

#include "../functional/forgery.h"
#include "tmm/authority.h"

struct machine_kind {
    struct authority authority;
    struct forgery forgery; /* of the same kind of keys; its own chain is not used */
};

/* Keys are those in the TMM's state folder, made if it is empty. */
int machine_kind_open(struct machine_kind *ret, const char *state, enum authority_kind kind,
                      struct error *err) _must_use_;
void machine_kind_close(struct machine_kind *k);

/*
 * Evidence of one machine for one connection, signed now. From any thread: `k` is only read.
 * Appended to `ret` as it travels.
 */
int machine_evidence(const struct machine_kind *k, const uint8_t volume[16],
                     const uint8_t challenge[CHALLENGE_SIZE], struct buffer *ret,
                     struct error *err) _must_use_;

/* FOLDER/hash.json and FOLDER/rim: what a policy needs besides the TMM's trust anchors. */
int machine_write_reference(const char *folder, struct error *err) _must_use_;

#endif
