/*
 * swtpm's control protocol (swtpm_ioctls(3), tpm_ioctl.h) as QEMU's tpm-emulator speaks it:
 * big-endian, one request and one answer at a time, each of a size fixed by the command.
 */
#ifndef ENCROOT_TMM_TPM_CONTROL_H
#define ENCROOT_TMM_TPM_CONTROL_H

#include "base/bytes.h"

#define CONTROL_REQUEST_MAX 16
#define CONTROL_ANSWER_MAX 16

enum control_code {
    CONTROL_GET_CAPABILITY = 0x01,
    CONTROL_INIT = 0x02,
    CONTROL_SHUTDOWN = 0x03,
    CONTROL_GET_ESTABLISHED = 0x04,
    CONTROL_SET_LOCALITY = 0x05,
    CONTROL_CANCEL = 0x09,
    CONTROL_RESET_ESTABLISHED = 0x0b,
    CONTROL_STOP = 0x0e,
    CONTROL_SET_DATAFD = 0x10,
    CONTROL_SET_BUFFERSIZE = 0x11,
    CONTROL_LOCK_STORAGE = 0x13,
};

struct control_command {
    uint32_t code;
    uint8_t request_size; /* with the four bytes of the code */
    uint8_t answer_size;
    const char *name;
};

/*
 * The commands that are passed on. NULL for any other: those that load a TPM's state (snapshots,
 * migration) or hash in place of the guest (locality 4) would change registers unseen.
 */
const struct control_command *control_command_find(uint32_t code);

/*
 * Look at the first bytes of a stream of requests. Returns the size of the first whole request
 * and its command, 0 if more bytes are needed, or -EPROTO for a command that is not passed on.
 */
int control_split(struct bytes stream, const struct control_command **ret) _must_use_;

/*
 * Complete an answer of `got` bytes in `answer` (CONTROL_ANSWER_MAX): false if more must come.
 * swtpm answers an error with its four bytes alone; QEMU waits for the whole structure, so the
 * rest is filled with zeros.
 */
bool control_answer_complete(const struct control_command *c, uint8_t *answer, size_t *got);

/* First four bytes: 0 is success (not for GET_CAPABILITY, whose answer is a bit mask). */
uint32_t control_result(const uint8_t *answer);

/* Take the abilities to read and write the TPM's state out of a GET_CAPABILITY answer. */
void control_mask_capabilities(uint8_t answer[8]);

#endif
