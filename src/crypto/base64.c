#include "crypto/base64.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

/* A multiple of 3 (and of 4 as text), so that only the last block is padded. */
#define BLOCK ((size_t)3 << 18)

int base64_encode(struct bytes in, struct buffer *ret)
{
    size_t old = ret->size;
    for (size_t at = 0; at < in.size;) {
        size_t n = in.size - at < BLOCK ? in.size - at : BLOCK;
        size_t text = (n + 2) / 3 * 4;
        int r = buffer_reserve(ret, text + 1); /* EVP_EncodeBlock adds a NUL */
        if (r < 0) {
            ret->size = old;
            return r;
        }
        EVP_EncodeBlock(ret->data + ret->size, in.data + at, (int)n);
        ret->size += text;
        at += n;
    }
    return 0;
}

static int value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* EVP_DecodeBlock forgives white space and stray bits; evidence must have one form only. */
static bool canonical(struct bytes text)
{
    if (text.size % 4)
        return false;
    size_t padding = 0;
    while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < text.size - padding; i++)
        if (value(text.data[i]) < 0)
            return false;
    static const int unused[] = {0, 3, 15}; /* bits of the last digit that carry nothing */
    return padding == 0 || (value(text.data[text.size - 1 - padding]) & unused[padding]) == 0;
}

int base64_decode(struct bytes text, struct buffer *ret)
{
    if (!canonical(text))
        return -EINVAL;
    size_t old = ret->size;
    for (size_t at = 0; at < text.size;) {
        size_t n = text.size - at < BLOCK / 3 * 4 ? text.size - at : BLOCK / 3 * 4;
        int r = buffer_reserve(ret, n / 4 * 3);
        if (r < 0) {
            ret->size = old;
            return r;
        }
        int got = EVP_DecodeBlock(ret->data + ret->size, text.data + at, (int)n);
        if (got < 0) {
            ret->size = old;
            return -EINVAL;
        }
        ret->size += (size_t)got;
        at += n;
    }
    for (size_t i = 1; i <= 2 && i <= text.size && text.data[text.size - i] == '='; i++)
        ret->size--;
    return 0;
}

int base64url_decode(struct bytes text, struct buffer *ret)
{
    _buffer_ struct buffer plain = {0};
    int r = buffer_reserve(&plain, text.size + 3);
    if (r < 0)
        return r;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '+' || c == '/' || c == '=')
            return -EINVAL;
        plain.data[plain.size++] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    while (plain.size % 4)
        plain.data[plain.size++] = '=';
    return base64_decode(buffer_bytes(&plain), ret);
}
