/* Evidence that `encroot unlock --save-evidence` wrote. */
#ifndef ENCROOT_CLI_EVIDENCE_FILE_H
#define ENCROOT_CLI_EVIDENCE_FILE_H

#include "protocol/evidence.h"

/* -EINVAL for a file without a challenge: nothing would show that it is fresh. */
int evidence_file_load(struct evidence *ret, const char *path, struct error *err) _must_use_;

#endif
