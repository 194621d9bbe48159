#include "token/cbor.h"

#include <cbor.h>

void cbor_put_raw(struct cbor_writer *w, struct bytes v)
{
    if (!w->error)
        w->error = buffer_append(w->out, v.data, v.size);
}

static void put(struct cbor_writer *w, const uint8_t *p, size_t n)
{
    if (n == 0 && !w->error)
        w->error = -EINVAL;
    cbor_put_raw(w, BYTES(p, n));
}

#define HEAD_MAX 9

void cbor_put_int(struct cbor_writer *w, int64_t v)
{
    uint8_t head[HEAD_MAX];
    put(w, head,
        v < 0 ? cbor_encode_negint((uint64_t)(-1 - v), head, sizeof(head))
              : cbor_encode_uint((uint64_t)v, head, sizeof(head)));
}

void cbor_put_bytes(struct cbor_writer *w, struct bytes v)
{
    uint8_t head[HEAD_MAX];
    put(w, head, cbor_encode_bytestring_start(v.size, head, sizeof(head)));
    cbor_put_raw(w, v);
}

void cbor_put_text(struct cbor_writer *w, struct bytes v)
{
    uint8_t head[HEAD_MAX];
    put(w, head, cbor_encode_string_start(v.size, head, sizeof(head)));
    cbor_put_raw(w, v);
}

void cbor_put_array(struct cbor_writer *w, size_t entries)
{
    uint8_t head[HEAD_MAX];
    put(w, head, cbor_encode_array_start(entries, head, sizeof(head)));
}

void cbor_put_map(struct cbor_writer *w, size_t pairs)
{
    uint8_t head[HEAD_MAX];
    put(w, head, cbor_encode_map_start(pairs, head, sizeof(head)));
}

void cbor_put_tag(struct cbor_writer *w, uint64_t tag)
{
    uint8_t head[HEAD_MAX];
    put(w, head, cbor_encode_tag(tag, head, sizeof(head)));
}
