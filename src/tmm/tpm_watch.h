/*
 * We sit between QEMU and swtpm: on the control channel (QEMU's chardev) and on the data channel,
 * whose descriptor QEMU passes over the control channel and which we replace by one of our own.
 * Every TPM command goes through here whole, one at a time; what it did is recorded before the
 * guest sees the answer. The guest's word plays no part in it.
 */
#ifndef ENCROOT_TMM_TPM_WATCH_H
#define ENCROOT_TMM_TPM_WATCH_H

#include "tmm/registers.h"
#include "tmm/tpm_control.h"

#include "base/error.h"

#include <poll.h>

#define TPM_WATCH_FDS 4

struct tpm_watch {
    int qemu_control, swtpm_control; /* borrowed */
    int qemu_data, swtpm_data;       /* owned; -1 until QEMU passes its side */
    struct registers *registers;
    void (*on_power_on)(void *context); /* may be NULL */
    void *context;

    /* The control request under way. */
    uint8_t request[CONTROL_REQUEST_MAX];
    size_t request_size;
    int passed_fd; /* owned: came with the request */
    const struct control_command *pending;
    uint8_t answer[CONTROL_ANSWER_MAX];
    size_t answer_size;

    /* The TPM command under way. */
    uint8_t command[TPM_MESSAGE_MAX];
    size_t command_size;
    bool in_flight;
    uint8_t response[TPM_MESSAGE_MAX];
    size_t response_size;

    bool shutdown; /* QEMU told swtpm to end */
};

void tpm_watch_init(struct tpm_watch *w, int qemu_control, int swtpm_control,
                    struct registers *registers);
void tpm_watch_free(struct tpm_watch *w);

/* What to poll for now. */
void tpm_watch_prepare(const struct tpm_watch *w, struct pollfd fds[TPM_WATCH_FDS]);
/*
 * Do what can be done without waiting. Returns 0, 1 when QEMU is gone, or a negative errno when
 * the TPM cannot be watched any more (the caller must then end QEMU).
 */
int tpm_watch_handle(struct tpm_watch *w, const struct pollfd fds[TPM_WATCH_FDS],
                     struct error *err) _must_use_;

#endif
