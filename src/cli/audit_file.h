/* DIR/audit.log: the chain of broker/audit.h in a file, one record a line. */
#ifndef ENCROOT_CLI_AUDIT_FILE_H
#define ENCROOT_CLI_AUDIT_FILE_H

#include "broker/audit.h"

/*
 * Append the record of a decision; e->recovered is ignored. Durable on return, the file's name too
 * (ATTACKS, K1: record first); on failure the file is as it was. Whoever appends holds a lock, so
 * that any number of processes make one chain.
 *
 * The last record is verified first: -EUCLEAN, and nothing is written, if it is not what was
 * written there. Only what a crash leaves is mended: a last line without its end. If that is a
 * whole record which follows the one before, it gets its end; otherwise its bytes are moved to
 * PATH.torn (behind what is there, in a line of its own), and the new record follows the last whole
 * one and has their number as "recovered".
 */
int audit_file_append(const char *path, const struct audit_entry *e, struct audit_state *ret,
                      struct error *err) _must_use_;

#endif
