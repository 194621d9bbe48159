/*
 * The four extensible registers of the software TMM (REM0..3), kept from what the TPM watch saw.
 * They follow the rule of the hardware: REM = SHA-256(REM ‖ digest), from zeros at power-on.
 */
#ifndef ENCROOT_TMM_REGISTERS_H
#define ENCROOT_TMM_REGISTERS_H

#include "base/bytes.h"
#include "tmm/tpm_command.h"

#include <stdio.h>

#define REM_COUNT 4
#define REM_SIZE 32
#define REM_NONE (-1)

struct registers {
    uint8_t rem[REM_COUNT][REM_SIZE];
    /* Mirror of the TPM's own SHA-256 bank, of static PCRs 0..15: for tests and the log. */
    uint8_t pcr[TPM_PCR_COUNT][TPM_SHA256_SIZE];
    size_t extends; /* since power-on, that reached a REM */
    /*
     * Not NULL: something happened after which the REMs do not tell what the guest booted. No
     * token is issued until the next power-on. The zero value is "nothing is known yet".
     */
    const char *unknown;
    bool started; /* TPM2_Startup(CLEAR) succeeded since power-on */
    FILE *log;    /* may be NULL; borrowed */
    uint64_t began;
};

/* VIRTCCA 4: the REM of a PCR; REM_NONE for 0 (that is the RIM) and 10 (a running kernel's). */
int rem_of_pcr(uint32_t pcr);

void registers_init(struct registers *g, FILE *log);
/* The machine was switched on or reset: all registers go to zero. */
void registers_power_on(struct registers *g);
/* Account for one command and its response. */
void registers_watch(struct registers *g, struct bytes command, struct bytes response);
/* From now on nothing is attested until the next power-on. `reason` is static text. */
void registers_forget(struct registers *g, const char *reason);
/* A line in the log, with the seconds since the start. */
void registers_note(struct registers *g, const char *fmt, ...) _printf_(2, 3);
/* NULL if the REMs tell what the guest booted, else why they do not. */
const char *registers_unknown(const struct registers *g);

#endif
