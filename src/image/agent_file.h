/* The agent's program: it must run alone in an initramfs, on the image's machine. */
#ifndef ENCROOT_IMAGE_AGENT_FILE_H
#define ENCROOT_IMAGE_AGENT_FILE_H

#include "base/bytes.h"
#include "base/error.h"

/* -EINVAL unless it is a 64-bit ELF program for `machine` (e_machine) that needs no interpreter,
 * hence no other file. */
int agent_file_check(struct bytes file, uint16_t machine, struct error *err) _must_use_;

#endif
