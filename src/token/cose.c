#include "token/cose.h"
#include "token/cbor.h"

#include <string.h>

#define TAG_SIGN1 18

/* Header parameters (RFC 9052, 3.1). */
#define HEADER_ALG 1
#define HEADER_CRIT 2

static int parse_protected(struct cose_sign1 *s, size_t base, struct error *err)
{
    struct cbor_reader r = cbor_read(s->protected, base, err);
    size_t n = cbor_read_map(&r, "protected header");
    bool found = false;
    for (size_t i = 0; i < n && !r.error; i++) {
        if (cbor_peek(&r) == MAJOR_TEXT) { /* private labels */
            cbor_read_head(&r);
            cbor_read_item(&r);
            continue;
        }
        int64_t label = cbor_read_int(&r, "header label");
        if (label == HEADER_ALG) {
            s->alg = cbor_read_int(&r, "algorithm");
            found = true;
        } else if (label == HEADER_CRIT) {
            cbor_fail(&r, "critical header parameters are not supported");
        } else {
            cbor_read_item(&r);
        }
    }
    if (!r.error && !found)
        cbor_fail(&r, "the protected header names no algorithm");
    return r.error;
}

int cose_sign1_parse(struct cose_sign1 *ret, struct bytes in, size_t base, struct error *err)
{
    struct cbor_reader r = cbor_read(in, base, err);
    cbor_read_tag(&r, TAG_SIGN1, "COSE_Sign1");
    size_t n = cbor_read_array(&r, "COSE_Sign1");
    if (!r.error && n != 4)
        cbor_fail(&r, "COSE_Sign1 has %zu entries, not 4", n);
    struct cose_sign1 s = {.protected = cbor_read_bytes(&r, "protected header")};
    if (!r.error)
        r.error = parse_protected(&s, cbor_offset(&r, s.protected), err);
    n = cbor_read_map(&r, "unprotected header");
    if (n)
        cbor_fail(&r, "the unprotected header is not empty");
    s.payload = cbor_read_bytes(&r, "payload");
    s.signature = cbor_read_bytes(&r, "signature");
    if (r.error)
        return error_prefix(err, r.error, "COSE_Sign1");
    *ret = s;
    return 0;
}

int cose_sign1_tbs(struct bytes protected, struct bytes payload, struct buffer *ret)
{
    struct cbor_writer w = {.out = ret};
    cbor_put_array(&w, 4);
    cbor_put_text(&w, BYTES_STR("Signature1"));
    cbor_put_bytes(&w, protected);
    cbor_put_bytes(&w, BYTES_NONE); /* external_aad */
    cbor_put_bytes(&w, payload);
    return w.error;
}

int cose_sign1_verify(const struct cose_sign1 *s, EVP_PKEY *key, struct error *err)
{
    _buffer_ struct buffer tbs = {0};
    int r = cose_sign1_tbs(s->protected, s->payload, &tbs);
    if (r < 0)
        return error_errno(err, -r, "building Sig_structure");
    return signature_verify(key, s->alg, buffer_bytes(&tbs), s->signature, err);
}

int cose_sign1_encode(struct buffer *ret, const struct cose_sign1 *s)
{
    struct cbor_writer w = {.out = ret};
    cbor_put_tag(&w, TAG_SIGN1);
    cbor_put_array(&w, 4);
    cbor_put_bytes(&w, s->protected);
    cbor_put_map(&w, 0);
    cbor_put_bytes(&w, s->payload);
    cbor_put_bytes(&w, s->signature);
    return w.error;
}

int cose_sign1_create(struct buffer *ret, EVP_PKEY *key, struct bytes payload, struct error *err)
{
    _buffer_ struct buffer protected = {0};
    _buffer_ struct buffer tbs = {0};
    _buffer_ struct buffer signature = {0};
    int64_t alg = cose_alg_of_key(key);
    if (!alg)
        return error_set(err, ENOTSUP, "no COSE algorithm goes with this key");
    struct cbor_writer w = {.out = &protected};
    cbor_put_map(&w, 1);
    cbor_put_int(&w, HEADER_ALG);
    cbor_put_int(&w, alg);
    int r = w.error;
    if (r == 0)
        r = cose_sign1_tbs(buffer_bytes(&protected), payload, &tbs);
    if (r < 0)
        return error_errno(err, -r, "building Sig_structure");
    r = signature_sign(key, alg, buffer_bytes(&tbs), &signature, err);
    if (r < 0)
        return r;
    const struct cose_sign1 s = {.alg = alg,
                                 .protected = buffer_bytes(&protected),
                                 .payload = payload,
                                 .signature = buffer_bytes(&signature)};
    r = cose_sign1_encode(ret, &s);
    return r < 0 ? error_errno(err, -r, "encoding COSE_Sign1") : 0;
}
