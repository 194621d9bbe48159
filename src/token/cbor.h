/*
 * CBOR (RFC 8949), the strict part of it that attestation tokens are made of: definite lengths,
 * shortest heads, no floats, no duplicate keys, bounded size and depth. Every error names the
 * byte offset. The head decoder and encoder are libcbor's.
 */
#ifndef ENCROOT_TOKEN_CBOR_H
#define ENCROOT_TOKEN_CBOR_H

#include "base/bytes.h"
#include "base/error.h"

#define CBOR_SIZE_MAX ((size_t)64 << 10)
#define CBOR_DEPTH_MAX 8
#define CBOR_PAIRS_MAX 64 /* entries of one map */

/* The major types (RFC 8949, 3.1). */
enum cbor_major {
    MAJOR_UNSIGNED,
    MAJOR_NEGATIVE,
    MAJOR_BYTES,
    MAJOR_TEXT,
    MAJOR_ARRAY,
    MAJOR_MAP,
    MAJOR_TAG,
    MAJOR_SIMPLE, /* false, true, null */
};

struct cbor_head {
    enum cbor_major major;
    uint64_t value;       /* MAJOR_NEGATIVE: -1 - value; arrays, maps: entries; tags: the tag */
    struct bytes content; /* byte and text strings */
};

/*
 * A cursor over input that is known to be well-formed. The first error is kept and described in
 * `err`; after it every call returns zero and the empty view.
 */
struct cbor_reader {
    struct bytes in;
    size_t at;
    size_t base; /* offset of `in` in what the user handed in: errors count from there */
    int error;   /* 0 or negative errno */
    struct error *err;
};

/*
 * Start reading `in`, which must be exactly one data item, strict as above through all its depth.
 * Otherwise the reader starts with its error set (-EBADMSG, -E2BIG).
 */
struct cbor_reader cbor_read(struct bytes in, size_t base, struct error *err);

struct cbor_head cbor_read_head(struct cbor_reader *r);
/* The next item, whole, as its bytes. */
struct bytes cbor_read_item(struct cbor_reader *r);
/* The type that comes next. */
enum cbor_major cbor_peek(struct cbor_reader *r);
/* Each reads one head and fails, naming `what`, on any other type. */
uint64_t cbor_read_unsigned(struct cbor_reader *r, const char *what);
int64_t cbor_read_int(struct cbor_reader *r, const char *what);
struct bytes cbor_read_bytes(struct cbor_reader *r, const char *what);
struct bytes cbor_read_text(struct cbor_reader *r, const char *what);
size_t cbor_read_array(struct cbor_reader *r, const char *what);
size_t cbor_read_map(struct cbor_reader *r, const char *what);
void cbor_read_tag(struct cbor_reader *r, uint64_t tag, const char *what);
/* Set the error at the reader's place, unless there is one already. Returns the error. */
int cbor_fail(struct cbor_reader *r, const char *fmt, ...) _printf_(2, 3);
/* Offset, from the start of the outermost input, of a view into `r->in`. */
size_t cbor_offset(const struct cbor_reader *r, struct bytes view);

/* ---- writing ---- */
struct cbor_writer {
    struct buffer *out;
    int error; /* 0 or negative errno; sticky */
};
void cbor_put_int(struct cbor_writer *w, int64_t v);
void cbor_put_bytes(struct cbor_writer *w, struct bytes v);
void cbor_put_text(struct cbor_writer *w, struct bytes v);
void cbor_put_array(struct cbor_writer *w, size_t entries);
void cbor_put_map(struct cbor_writer *w, size_t pairs);
void cbor_put_tag(struct cbor_writer *w, uint64_t tag);
/* Bytes that are CBOR already. */
void cbor_put_raw(struct cbor_writer *w, struct bytes v);

#endif
