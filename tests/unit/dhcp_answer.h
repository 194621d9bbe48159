/* A DHCP server's answers, made by hand. */
#ifndef ENCROOT_TESTS_DHCP_ANSWER_H
#define ENCROOT_TESTS_DHCP_ANSWER_H

#include "agent/dhcp_packet.h"

#include <string.h>

static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

#define ADDRESS 0x0a00020fu /* 10.0.2.15 */
#define SERVER 0x0a000202u
#define MASK 0xffffff00u

struct answer {
    uint8_t bytes[600];
    size_t size;
};

static inline void add_option(struct answer *a, uint8_t code, const void *value, uint8_t size)
{
    a->bytes[a->size++] = code;
    a->bytes[a->size++] = size;
    memcpy(a->bytes + a->size, value, size);
    a->size += size;
}

static inline void add_number(struct answer *a, uint8_t code, uint32_t value)
{
    uint8_t b[4];
    put_be32(b, value);
    add_option(a, code, b, 4);
}

static inline struct answer begin_answer(uint32_t xid, uint8_t type, uint32_t address)
{
    struct answer a = {.size = 28 + 240};
    a.bytes[0] = 0x45;
    a.bytes[9] = 17;
    put_be16(a.bytes + 20, 67);
    put_be16(a.bytes + 22, 68);
    uint8_t *bootp = a.bytes + 28;
    bootp[0] = 2;
    bootp[1] = 1;
    bootp[2] = 6;
    put_be32(bootp + 4, xid);
    put_be32(bootp + 16, address);
    memcpy(bootp + 28, mac, 6);
    put_be32(bootp + 236, 0x63825363);
    add_option(&a, 53, &type, 1);
    return a;
}

static inline struct bytes end_answer(struct answer *a)
{
    a->bytes[a->size++] = 255;
    put_be16(a->bytes + 2, (uint16_t)a->size);
    put_be16(a->bytes + 24, (uint16_t)(a->size - 20));
    return BYTES(a->bytes, a->size);
}

static inline struct answer full_answer(uint32_t xid, uint8_t type, uint32_t address,
                                        uint32_t lease)
{
    struct answer a = begin_answer(xid, type, address);
    add_number(&a, 1, MASK);
    add_number(&a, 3, SERVER);
    add_number(&a, 54, SERVER);
    add_number(&a, 51, lease);
    return a;
}

#endif
