/* Commands and responses of a TPM 2.0, as they pass between QEMU and swtpm. */
#ifndef ENCROOT_TESTS_TPM_MESSAGE_H
#define ENCROOT_TESTS_TPM_MESSAGE_H

#include "base/bytes.h"

#include <string.h>

static const uint8_t success[] = {0x80, 0x02, 0, 0, 0, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
static const uint8_t failure[] = {0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x42};

/* PCR_Extend of `pcr` with one digest of `alg`, filled with `fill`; returns its size. */
static inline size_t make_extend(uint8_t *out, uint32_t pcr, uint16_t alg, size_t digest_size,
                                 uint8_t fill)
{
    static const uint8_t password_session[] = {0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0};
    size_t n = 10;

    put_be32(out + n, pcr);
    n += 4;
    memcpy(out + n, password_session, sizeof(password_session));
    n += sizeof(password_session);
    put_be32(out + n, 1);
    put_be16(out + n + 4, alg);
    n += 6;
    memset(out + n, fill, digest_size);
    n += digest_size;
    put_be16(out, 0x8002);
    put_be32(out + 2, (uint32_t)n);
    put_be32(out + 6, 0x182);
    return n;
}

#endif
