/*
 * What one TPM 2.0 command did to the TPM's registers, read from the command and the response as
 * they pass between QEMU and swtpm (TPM 2.0 Library, Part 3). Only a command that *succeeded* did
 * anything. Both sides are bounded views; neither is trusted to be well-formed.
 */
#ifndef ENCROOT_TMM_TPM_COMMAND_H
#define ENCROOT_TMM_TPM_COMMAND_H

#include "base/bytes.h"

#define TPM_HEADER_SIZE 10
#define TPM_MESSAGE_MAX 4096 /* what swtpm takes; QEMU's devices use less */
#define TPM_PCR_COUNT 24
#define TPM_SHA256_SIZE 32
#define TPM_RC_SUCCESS 0u
#define TPM_RC_COMMAND_SIZE 0x142u
#define TPM_RC_COMMAND_CODE 0x143u /* not supported */
/* TPML_DIGEST_VALUES never holds more than a TPM has banks; libtpms has four. */
#define TPM_DIGESTS_MAX 16

enum tpm_effect {
    TPM_EFFECT_NONE = 0,
    TPM_EFFECT_EXTEND,        /* `pcr` was extended with `digests`, in order */
    TPM_EFFECT_RESET,         /* `pcr` was reset (PCR_Reset) */
    TPM_EFFECT_STARTUP_CLEAR, /* registers start from their reset values */
    TPM_EFFECT_STARTUP_STATE, /* registers come back from a saved state */
};

struct tpm_observation {
    enum tpm_effect effect;
    uint32_t pcr;
    /* The SHA-256 digests. An extend with none of them changed only other banks. */
    size_t digest_count;
    uint8_t digests[TPM_DIGESTS_MAX][TPM_SHA256_SIZE];
};

/* The size that a message's header states, or 0 when there is no whole header. */
uint32_t tpm_message_size(struct bytes message);
/* The command code or response code of a header, or 0xffffffff without a whole header. */
uint32_t tpm_message_code(struct bytes message);
/* Writes a response without parameters: TPM_HEADER_SIZE bytes. */
void tpm_error_response(uint32_t code, uint8_t ret[TPM_HEADER_SIZE]);

/*
 * May the TPM see this command at all? Not if it would switch the SHA-256 bank off (PCR_Allocate):
 * after the next reset firmware would measure nothing of use, extends into the missing bank would
 * still succeed, and whoever comes later could write a good history.
 */
bool tpm_command_allowed(struct bytes command);

/*
 * What `command`, answered by `response`, did. Returns 0, or -EBADMSG when a command that changes
 * registers succeeded but could not be understood: then the registers are no longer known.
 */
int tpm_observe(struct bytes command, struct bytes response,
                struct tpm_observation *ret) _must_use_;

#endif
