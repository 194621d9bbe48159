/* Hexadecimal and UUID text. */
#ifndef ENCROOT_BASE_HEX_H
#define ENCROOT_BASE_HEX_H

#include "base/bytes.h"

/* Writes 2·in.size lower-case digits and a NUL to `out`. */
void hex_encode(struct bytes in, char *out);
/* Reads exactly `size` bytes; either case. 0, or -EINVAL on a bad digit or another length. */
int hex_decode(const char *text, uint8_t *out, size_t size) _must_use_;

#define UUID_TEXT_SIZE 37
/* 8-4-4-4-12, lower case, NUL-terminated. */
void uuid_format(const uint8_t uuid[16], char out[UUID_TEXT_SIZE]);
int uuid_parse(const char *text, uint8_t out[16]) _must_use_;

#endif
