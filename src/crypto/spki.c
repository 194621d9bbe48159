#include "crypto/spki.h"

#include <errno.h>

#define TAG_INTEGER 0x02
#define TAG_BIT_STRING 0x03
#define TAG_SEQUENCE 0x30

/* AlgorithmIdentifier, whole: one algorithm, one encoding of it. */
#define EC_PUBLIC_KEY 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 /* 1.2.840.10045.2.1 */
static const uint8_t rsa[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                              0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
static const uint8_t p256[] = {0x30, 0x13, EC_PUBLIC_KEY, 0x06, 0x08, 0x2a, 0x86,
                               0x48, 0xce, 0x3d,          0x03, 0x01, 0x07};
static const uint8_t p384[] = {0x30, 0x10, EC_PUBLIC_KEY, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t p521[] = {0x30, 0x10, EC_PUBLIC_KEY, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};

static const struct {
    struct bytes algorithm;
    size_t point; /* bytes; 0: RSA */
} kinds[] = {
    {BYTES_OF(rsa), 0},
    {BYTES_OF(p256), 65},
    {BYTES_OF(p384), 97},
    {BYTES_OF(p521), 133},
};

/* ---- DER (X.690, 10.1): lengths are as short as can be ---- */
static size_t read_length(struct reader *r)
{
    uint8_t first = read_u8(r);
    if (first < 0x80)
        return first;
    size_t n = first == 0x81 ? read_u8(r) : first == 0x82 ? read_be16(r) : 0;
    if (n < (first == 0x81 ? 0x80 : 0x100))
        r->error = -EBADMSG;
    return n;
}

/* The content of an element. */
static struct bytes read_element(struct reader *r, uint8_t tag)
{
    if (read_u8(r) != tag)
        r->error = -EBADMSG;
    return read_bytes(r, read_length(r));
}

/* Of one that is all that there is. */
static struct bytes read_only(struct reader *r, uint8_t tag)
{
    struct bytes content = read_element(r, tag);
    if (r->error || reader_left(r) > 0)
        r->error = -EBADMSG;
    return r->error ? BYTES_NONE : content;
}

/* Above zero (X.690, 8.3): a zero in front only where the number would be negative without. */
static struct bytes read_number(struct reader *r)
{
    struct bytes n = read_element(r, TAG_INTEGER);
    bool padded = n.size > 1 && n.data[0] == 0;
    if (n.size == 0 || n.data[0] >= 0x80 || (n.size == 1 && n.data[0] == 0) ||
        (padded && n.data[1] < 0x80))
        r->error = -EBADMSG;
    if (r->error)
        return BYTES_NONE;
    return padded ? BYTES(n.data + 1, n.size - 1) : n;
}

/* ---- keys ---- */
static bool read_rsa(struct spki *ret, struct bytes key)
{
    struct reader r = reader_of(key), inside = reader_of(read_only(&r, TAG_SEQUENCE));
    struct spki s = {0};
    s.modulus = read_number(&inside);
    s.exponent = read_number(&inside);
    if (r.error || inside.error || reader_left(&inside) > 0)
        return false;
    *ret = s;
    return true;
}

static bool read_point(struct spki *ret, struct bytes key, size_t size)
{
    if (key.size != size || key.data[0] != 4)
        return false;
    *ret = (struct spki){.point = key};
    return true;
}

bool spki_read(struct spki *ret, struct bytes der)
{
    struct reader r = reader_of(der), inside = reader_of(read_only(&r, TAG_SEQUENCE));
    for (size_t i = 0; i < ARRAY_SIZE(kinds) && !r.error; i++) {
        struct reader k = inside;
        if (!bytes_equal(read_bytes(&k, kinds[i].algorithm.size), kinds[i].algorithm))
            continue;
        struct bytes bits = read_only(&k, TAG_BIT_STRING);
        if (bits.size == 0 || bits.data[0] != 0) /* bits of the last byte that are none */
            return false;
        struct bytes key = BYTES(bits.data + 1, bits.size - 1);
        return kinds[i].point ? read_point(ret, key, kinds[i].point) : read_rsa(ret, key);
    }
    return false;
}
