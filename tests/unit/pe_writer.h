/* A small PE image for tests. */
#ifndef ENCROOT_TESTS_PE_WRITER_H
#define ENCROOT_TESTS_PE_WRITER_H

#include "base/bytes.h"

#include <string.h>

#define PE_AT 0x80
#define OPT_AT (PE_AT + 24)
#define CHECKSUM_AT (OPT_AT + 64)
#define CERT_ENTRY_AT (OPT_AT + 112 + 32)
#define SECTION_AT (OPT_AT + 240)
#define SECTION_DATA 0x400
#define SECTION_SIZE 0x200
#define CERT_AT 0x700
#define PE_SIZE 0x800

/* A minimal PE32+: one section, 0x100 bytes behind it, 0x100 bytes of certificates. */
static inline void make_pe(uint8_t pe[PE_SIZE])
{
    for (size_t i = 0; i < PE_SIZE; i++)
        pe[i] = (uint8_t)(i * 7);
    memcpy(pe, "MZ", 2);
    put_le32(pe + 0x3c, PE_AT);
    memcpy(pe + PE_AT, "PE\0\0", 4);
    put_le16(pe + PE_AT + 4, 0x8664);
    put_le16(pe + PE_AT + 6, 1);
    put_le16(pe + PE_AT + 20, 240);
    put_le16(pe + OPT_AT, 0x20b);
    put_le32(pe + OPT_AT + 60, SECTION_DATA);
    put_le32(pe + OPT_AT + 108, 16);
    put_le32(pe + CERT_ENTRY_AT, CERT_AT);
    put_le32(pe + CERT_ENTRY_AT + 4, PE_SIZE - CERT_AT);
    put_le32(pe + SECTION_AT + 16, SECTION_SIZE);
    put_le32(pe + SECTION_AT + 20, SECTION_DATA);
}

#endif
