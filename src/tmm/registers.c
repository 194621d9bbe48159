#include "tmm/registers.h"

#include "base/hex.h"
#include "crypto/digest.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void registers_note(struct registers *g, const char *fmt, ...)
{
    uint64_t ms = now_ms() - g->began;
    va_list ap;

    if (!g->log)
        return;
    fprintf(g->log, "%4u.%03u ", (unsigned)(ms / 1000), (unsigned)(ms % 1000));
    va_start(ap, fmt);
    vfprintf(g->log, fmt, ap);
    va_end(ap);
    fputc('\n', g->log);
    fflush(g->log);
}

int rem_of_pcr(uint32_t pcr)
{
    static const signed char map[TPM_PCR_COUNT] = {
        [0] = REM_NONE, [1] = 0,  [2] = 1,         [3] = 1,  [4] = 1,  [5] = 1,  [6] = 1,  [7] = 0,
        [8] = 2,        [9] = 2,  [10] = REM_NONE, [11] = 2, [12] = 2, [13] = 2, [14] = 2, [15] = 2,
        [16] = 3,       [17] = 3, [18] = 3,        [19] = 3, [20] = 3, [21] = 3, [22] = 3, [23] = 3,
    };

    return pcr < TPM_PCR_COUNT ? map[pcr] : REM_NONE;
}

static const char not_started[] = "the guest's firmware has not started the TPM";

void registers_init(struct registers *g, FILE *log)
{
    *g = (struct registers){.log = log, .began = now_ms()};
}

void registers_power_on(struct registers *g)
{
    memset(g->rem, 0, sizeof(g->rem));
    memset(g->pcr, 0, sizeof(g->pcr));
    g->extends = 0;
    g->unknown = NULL;
    g->started = false;
    registers_note(g, "power-on");
}

void registers_forget(struct registers *g, const char *reason)
{
    if (!g->unknown)
        g->unknown = reason;
    registers_note(g, "unknown: %s", reason);
}

const char *registers_unknown(const struct registers *g)
{
    return g->unknown ? g->unknown : g->started ? NULL : not_started;
}

static int extend(uint8_t reg[REM_SIZE], const uint8_t digest[TPM_SHA256_SIZE])
{
    struct digest d = {.alg = HASH_SHA256, .size = REM_SIZE};

    memcpy(d.bytes, reg, REM_SIZE);
    int r = digest_extend(&d, BYTES(digest, TPM_SHA256_SIZE));
    if (r < 0)
        return r;
    memcpy(reg, d.bytes, REM_SIZE);
    return 0;
}

static void extend_one(struct registers *g, uint32_t pcr, const uint8_t digest[TPM_SHA256_SIZE])
{
    int rem = rem_of_pcr(pcr);
    char hex[2 * TPM_SHA256_SIZE + 1];

    hex_encode(BYTES(digest, TPM_SHA256_SIZE), hex);
    if (extend(g->pcr[pcr], digest) < 0 || (rem >= 0 && extend(g->rem[rem], digest) < 0)) {
        registers_forget(g, "an extend could not be computed");
        return;
    }
    if (rem >= 0) {
        g->extends++;
        registers_note(g, "extend pcr=%u rem=%d digest=%s", pcr, rem, hex);
    } else {
        registers_note(g, "extend pcr=%u rem=none digest=%s", pcr, hex);
    }
}

static void on_extend(struct registers *g, const struct tpm_observation *o)
{
    for (size_t i = 0; i < o->digest_count; i++)
        extend_one(g, o->pcr, o->digests[i]);
    if (o->digest_count > 0)
        return;
    /*
     * The SHA-256 bank can be switched off for the next boot (PCR_Allocate). Firmware then
     * measures into other banks only, and whoever comes later could write a good history into
     * the empty REMs.
     */
    registers_note(g, "extend pcr=%u without a SHA-256 digest", o->pcr);
    if (rem_of_pcr(o->pcr) >= 0)
        registers_forget(g, "a measurement carried no SHA-256 digest");
}

static void on_startup_clear(struct registers *g, const struct tpm_observation *o)
{
    g->started = true;
    registers_note(g, "startup clear");
}

/*
 * The registers of the TPM go on from before a suspend while ours begin at zero, and the resumed
 * system is not measured again: it could write itself a good history.
 */
static void on_startup_state(struct registers *g, const struct tpm_observation *o)
{
    registers_forget(g, "the TPM was resumed from a saved state");
}

/* A REM cannot be reset: what was extended before stays in it. */
static void on_reset(struct registers *g, const struct tpm_observation *o)
{
    memset(g->pcr[o->pcr], 0, TPM_SHA256_SIZE);
    registers_note(g, "reset pcr=%u", o->pcr);
}

void registers_watch(struct registers *g, struct bytes command, struct bytes response)
{
    static void (*const handlers[])(struct registers *, const struct tpm_observation *) = {
        [TPM_EFFECT_NONE] = NULL,
        [TPM_EFFECT_EXTEND] = on_extend,
        [TPM_EFFECT_RESET] = on_reset,
        [TPM_EFFECT_STARTUP_CLEAR] = on_startup_clear,
        [TPM_EFFECT_STARTUP_STATE] = on_startup_state,
    };
    struct tpm_observation o;

    if (tpm_observe(command, response, &o) < 0)
        registers_forget(g, "a TPM command could not be understood");
    else if (handlers[o.effect])
        handlers[o.effect](g, &o);
}
