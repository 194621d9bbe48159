#include "token/cose_key.h"
#include "crypto/signature.h"
#include "token/cbor.h"

#include <string.h>

/* Parameters (RFC 9052, 7.1; RFC 9053, 7.1.1) and the type of key with two coordinates. */
#define KEY_TYPE 1
#define KEY_ALG 3
#define KEY_CURVE (-1)
#define KEY_X (-2)
#define KEY_Y (-3)
#define TYPE_EC2 2

static const struct curve {
    int64_t number; /* IANA "COSE Elliptic Curves" */
    int64_t alg;
    size_t coordinate; /* bytes */
} curves[] = {
    {1, COSE_ES256, 32},
    {2, COSE_ES384, 48},
    {3, COSE_ES512, 66},
};

struct parameters {
    int64_t type, alg, curve; /* 0: not there */
    struct bytes x, y;
};

static const struct parameter {
    int64_t label;
    const char *name;
    size_t offset; /* in struct parameters */
    bool bytes;
} known[] = {
    {KEY_TYPE, "key type", offsetof(struct parameters, type), false},
    {KEY_ALG, "algorithm", offsetof(struct parameters, alg), false},
    {KEY_CURVE, "curve", offsetof(struct parameters, curve), false},
    {KEY_X, "x", offsetof(struct parameters, x), true},
    {KEY_Y, "y", offsetof(struct parameters, y), true},
};

static void read_parameter(struct cbor_reader *r, struct parameters *p)
{
    size_t start = r->at;
    int64_t label = cbor_read_int(r, "key parameter");
    for (size_t i = 0; i < ARRAY_SIZE(known) && !r->error; i++) {
        void *at = (uint8_t *)p + known[i].offset;
        if (known[i].label != label)
            continue;
        if (known[i].bytes)
            *(struct bytes *)at = cbor_read_bytes(r, known[i].name);
        else
            *(int64_t *)at = cbor_read_int(r, known[i].name);
        return;
    }
    r->at = r->error ? r->at : start;
    cbor_fail(r, "key parameter %lld does not belong here", (long long)label);
}

static const struct curve *check(struct cbor_reader *r, const struct parameters *p)
{
    const struct curve *c = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
        if (curves[i].number == p->curve)
            c = &curves[i];
    if (r->error)
        return NULL;
    if (p->type != TYPE_EC2 || !c)
        cbor_fail(r, "a key of type %lld on curve %lld: expected type 2 on curve 1, 2 or 3",
                  (long long)p->type, (long long)p->curve);
    else if (p->x.size != c->coordinate || p->y.size != c->coordinate)
        cbor_fail(r, "coordinates of %zu and %zu bytes: expected %zu", p->x.size, p->y.size,
                  c->coordinate);
    else if (p->alg && p->alg != c->alg)
        cbor_fail(r, "algorithm %lld is not that of the key's curve", (long long)p->alg);
    return r->error ? NULL : c;
}

int cose_key_parse(EVP_PKEY **ret, struct bytes in, size_t base, struct error *err)
{
    struct cbor_reader r = cbor_read(in, base, err);
    struct parameters p = {0};
    uint8_t point[EC_POINT_MAX] = {4};
    size_t n = cbor_read_map(&r, "COSE_Key");
    for (size_t i = 0; i < n && !r.error; i++)
        read_parameter(&r, &p);
    const struct curve *c = check(&r, &p);
    if (!c)
        return error_prefix(err, r.error, "COSE_Key");
    memcpy(point + 1, p.x.data, c->coordinate);
    memcpy(point + 1 + c->coordinate, p.y.data, c->coordinate);
    return public_key_from_point(ret, BYTES(point, 1 + 2 * c->coordinate), err);
}

int cose_key_encode(const EVP_PKEY *key, struct buffer *ret, struct error *err)
{
    _buffer_ struct buffer point = {0};
    struct cbor_writer w = {.out = ret};
    int r = public_key_to_point(key, &point, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++) {
        size_t n = curves[i].coordinate;
        if (point.size != 1 + 2 * n)
            continue;
        cbor_put_map(&w, 4);
        cbor_put_int(&w, KEY_TYPE);
        cbor_put_int(&w, TYPE_EC2);
        cbor_put_int(&w, KEY_CURVE);
        cbor_put_int(&w, curves[i].number);
        cbor_put_int(&w, KEY_X);
        cbor_put_bytes(&w, BYTES(point.data + 1, n));
        cbor_put_int(&w, KEY_Y);
        cbor_put_bytes(&w, BYTES(point.data + 1 + n, n));
        return w.error ? error_errno(err, -w.error, "encoding a COSE_Key") : 0;
    }
    return error_set(err, ENOTSUP, "no COSE curve goes with this key");
}
