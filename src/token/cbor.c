#include "token/cbor.h"

#include <cbor.h>
#include <stdarg.h>
#include <string.h>

int cbor_fail(struct cbor_reader *r, const char *fmt, ...)
{
    if (r->error)
        return r->error;
    char text[ERROR_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->error = error_set(r->err, EBADMSG, "offset %zu: %s", r->base + r->at, text);
    return r->error;
}

size_t cbor_offset(const struct cbor_reader *r, struct bytes view)
{
    return view.data ? r->base + (size_t)(view.data - r->in.data) : r->base + r->at;
}

/* ---- one head: libcbor decodes, the callbacks note what it found ---- */

struct noted {
    struct cbor_head head;
    const char *refused;
};

static void note(void *context, enum cbor_major major, uint64_t value, struct bytes content)
{
    struct noted *n = context;
    n->head = (struct cbor_head){.major = major, .value = value, .content = content};
}

static void refuse(void *context, const char *why)
{
    ((struct noted *)context)->refused = why;
}

static void on_u8(void *c, uint8_t v)
{
    note(c, MAJOR_UNSIGNED, v, BYTES_NONE);
}
static void on_u16(void *c, uint16_t v)
{
    note(c, MAJOR_UNSIGNED, v, BYTES_NONE);
}
static void on_u32(void *c, uint32_t v)
{
    note(c, MAJOR_UNSIGNED, v, BYTES_NONE);
}
static void on_u64(void *c, uint64_t v)
{
    note(c, MAJOR_UNSIGNED, v, BYTES_NONE);
}
static void on_n8(void *c, uint8_t v)
{
    note(c, MAJOR_NEGATIVE, v, BYTES_NONE);
}
static void on_n16(void *c, uint16_t v)
{
    note(c, MAJOR_NEGATIVE, v, BYTES_NONE);
}
static void on_n32(void *c, uint32_t v)
{
    note(c, MAJOR_NEGATIVE, v, BYTES_NONE);
}
static void on_n64(void *c, uint64_t v)
{
    note(c, MAJOR_NEGATIVE, v, BYTES_NONE);
}
static void on_bytes(void *c, cbor_data p, size_t n)
{
    note(c, MAJOR_BYTES, n, BYTES(p, n));
}
static void on_text(void *c, cbor_data p, size_t n)
{
    note(c, MAJOR_TEXT, n, BYTES(p, n));
}
static void on_array(void *c, size_t n)
{
    note(c, MAJOR_ARRAY, n, BYTES_NONE);
}
static void on_map(void *c, size_t n)
{
    note(c, MAJOR_MAP, n, BYTES_NONE);
}
static void on_tag(void *c, uint64_t v)
{
    note(c, MAJOR_TAG, v, BYTES_NONE);
}
static void on_bool(void *c, bool v)
{
    note(c, MAJOR_SIMPLE, v ? 21 : 20, BYTES_NONE);
}
static void on_null(void *c)
{
    note(c, MAJOR_SIMPLE, 22, BYTES_NONE);
}
static void on_indefinite(void *c)
{
    refuse(c, "indefinite length");
}
static void on_undefined(void *c)
{
    refuse(c, "undefined value");
}
static void on_float(void *c, float v)
{
    (void)v;
    refuse(c, "floating-point number");
}
static void on_double(void *c, double v)
{
    (void)v;
    refuse(c, "floating-point number");
}

static const struct cbor_callbacks callbacks = {
    .uint8 = on_u8,
    .uint16 = on_u16,
    .uint32 = on_u32,
    .uint64 = on_u64,
    .negint8 = on_n8,
    .negint16 = on_n16,
    .negint32 = on_n32,
    .negint64 = on_n64,
    .byte_string = on_bytes,
    .byte_string_start = on_indefinite,
    .string = on_text,
    .string_start = on_indefinite,
    .array_start = on_array,
    .indef_array_start = on_indefinite,
    .map_start = on_map,
    .indef_map_start = on_indefinite,
    .tag = on_tag,
    .float2 = on_float,
    .float4 = on_float,
    .float8 = on_double,
    .undefined = on_undefined,
    .null = on_null,
    .boolean = on_bool,
    .indef_break = on_indefinite,
};

/* Bytes of the shortest head for an argument (RFC 8949, 4.2.1). */
static size_t shortest(uint64_t v)
{
    return v < 24 ? 1 : v <= UINT8_MAX ? 2 : v <= UINT16_MAX ? 3 : v <= UINT32_MAX ? 5 : 9;
}

static struct cbor_decoder_result decode(const struct cbor_reader *r, struct noted *n)
{
    size_t left = r->in.size - r->at;
    /* libcbor before 0.10 knows no tags 6 to 20, and COSE_Sign1 is 18. */
    if (left > 0 && r->in.data[r->at] >= 0xc0 && r->in.data[r->at] <= 0xd7) {
        on_tag(n, r->in.data[r->at] - 0xc0u);
        return (struct cbor_decoder_result){.read = 1, .status = CBOR_DECODER_FINISHED};
    }
    return cbor_stream_decode(r->in.data + r->at, left, &callbacks, n);
}

struct cbor_head cbor_read_head(struct cbor_reader *r)
{
    const struct cbor_head none = {0};
    if (r->error)
        return none;
    struct noted n = {.refused = NULL};
    struct cbor_decoder_result d = decode(r, &n);
    if (d.status == CBOR_DECODER_NEDATA)
        cbor_fail(r, "the data ends within an item");
    else if (d.status != CBOR_DECODER_FINISHED)
        cbor_fail(r, "not CBOR");
    else if (n.refused)
        cbor_fail(r, "%s is not allowed here", n.refused);
    else if (n.head.major != MAJOR_SIMPLE && d.read - n.head.content.size != shortest(n.head.value))
        cbor_fail(r, "a number is not in its shortest form");
    if (r->error)
        return none;
    r->at += d.read;
    return n.head;
}

/* ---- the whole item ---- */

static void check_item(struct cbor_reader *r, unsigned depth);

static void check_map(struct cbor_reader *r, uint64_t pairs, unsigned depth)
{
    struct bytes keys[CBOR_PAIRS_MAX];
    if (pairs > CBOR_PAIRS_MAX)
        cbor_fail(r, "a map of %llu entries, more than %d", (unsigned long long)pairs,
                  CBOR_PAIRS_MAX);
    for (size_t i = 0; i < pairs && !r->error; i++) {
        size_t start = r->at;
        check_item(r, depth);
        keys[i] = BYTES(r->in.data + start, r->at - start);
        /* Heads are shortest, so keys that are equal are equal as bytes. */
        for (size_t k = 0; k < i && !r->error; k++) {
            if (!bytes_equal(keys[k], keys[i]))
                continue;
            r->at = start;
            cbor_fail(r, "duplicate key in a map");
        }
        check_item(r, depth);
    }
}

static void check_item(struct cbor_reader *r, unsigned depth)
{
    if (depth > CBOR_DEPTH_MAX) {
        cbor_fail(r, "nested deeper than %d", CBOR_DEPTH_MAX);
        return;
    }
    struct cbor_head h = cbor_read_head(r);
    if (h.major == MAJOR_MAP) {
        check_map(r, h.value, depth + 1);
    } else if (h.major == MAJOR_ARRAY) {
        /* Every entry takes a byte at least, so a count beyond the data ends soon. */
        for (uint64_t i = 0; i < h.value && !r->error; i++)
            check_item(r, depth + 1);
    } else if (h.major == MAJOR_TAG) {
        check_item(r, depth + 1);
    }
}

struct cbor_reader cbor_read(struct bytes in, size_t base, struct error *err)
{
    struct cbor_reader r = {.in = in, .base = base, .err = err};
    if (in.size > CBOR_SIZE_MAX)
        r.error = error_set(err, E2BIG, "%zu bytes of CBOR, more than %zu", in.size, CBOR_SIZE_MAX);
    else if (in.size == 0)
        cbor_fail(&r, "no data");
    check_item(&r, 1);
    if (!r.error && r.at != in.size)
        cbor_fail(&r, "%zu bytes behind the end", in.size - r.at);
    r.at = 0;
    return r;
}

struct bytes cbor_read_item(struct cbor_reader *r)
{
    size_t start = r->at;
    check_item(r, 1);
    return r->error ? BYTES_NONE : BYTES(r->in.data + start, r->at - start);
}

/* ---- typed ---- */

static const char *const major_names[] = {
    "an unsigned number",
    "a negative number",
    "a byte string",
    "a text string",
    "an array",
    "a map",
    "a tag",
    "a simple value",
};

enum cbor_major cbor_peek(struct cbor_reader *r)
{
    struct cbor_reader ahead = *r;
    ahead.err = NULL;
    return cbor_read_head(&ahead).major;
}

static struct cbor_head expect(struct cbor_reader *r, enum cbor_major major, const char *what)
{
    size_t start = r->at;
    struct cbor_head h = cbor_read_head(r);
    if (r->error || h.major == major)
        return h;
    r->at = start;
    cbor_fail(r, "%s is %s, not %s", what, major_names[h.major], major_names[major]);
    return (struct cbor_head){0};
}

uint64_t cbor_read_unsigned(struct cbor_reader *r, const char *what)
{
    return expect(r, MAJOR_UNSIGNED, what).value;
}

int64_t cbor_read_int(struct cbor_reader *r, const char *what)
{
    enum cbor_major major = cbor_peek(r) == MAJOR_NEGATIVE ? MAJOR_NEGATIVE : MAJOR_UNSIGNED;
    uint64_t v = expect(r, major, what).value;
    if (v > INT64_MAX) {
        cbor_fail(r, "%s is out of range", what);
        return 0;
    }
    return major == MAJOR_NEGATIVE ? -1 - (int64_t)v : (int64_t)v;
}

struct bytes cbor_read_bytes(struct cbor_reader *r, const char *what)
{
    return expect(r, MAJOR_BYTES, what).content;
}

struct bytes cbor_read_text(struct cbor_reader *r, const char *what)
{
    return expect(r, MAJOR_TEXT, what).content;
}

size_t cbor_read_array(struct cbor_reader *r, const char *what)
{
    return expect(r, MAJOR_ARRAY, what).value;
}

size_t cbor_read_map(struct cbor_reader *r, const char *what)
{
    return expect(r, MAJOR_MAP, what).value;
}

void cbor_read_tag(struct cbor_reader *r, uint64_t tag, const char *what)
{
    size_t start = r->at;
    uint64_t v = expect(r, MAJOR_TAG, what).value;
    if (!r->error && v != tag) {
        r->at = start;
        cbor_fail(r, "%s has tag %llu, not %llu", what, (unsigned long long)v,
                  (unsigned long long)tag);
    }
}
