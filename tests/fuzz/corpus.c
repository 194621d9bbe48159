#include "corpus.h"
#include "base/io.h"
#include "base/json.h"

#include <err.h>
#include <string.h>

void corpus_put(struct corpus *c, const char *name, struct bytes input)
{
    char path[4096];
    struct error e = {0};
    _buffer_ struct buffer all = {0};
    snprintf(path, sizeof(path), "%s/%s", c->folder, name);
    if (buffer_append(&all, c->prefix.data, c->prefix.size) < 0 ||
        buffer_append(&all, input.data, input.size) < 0)
        errx(1, "%s: out of memory", path);
    if (write_file_atomic(path, buffer_bytes(&all), 0644, true, &e) < 0)
        errx(1, "%s", e.text);
    c->count++;
}

/* NAME-DEFECT-NUMBER, of parts that are put together. */
static void put_parts(struct corpus *c, const char *name, const char *defect, size_t number,
                      const struct bytes *parts, size_t count)
{
    char full[256];
    _buffer_ struct buffer out = {0};
    snprintf(full, sizeof(full), "%s-%s-%zu", name, defect, number);
    for (size_t i = 0; i < count; i++)
        if (buffer_append(&out, parts[i].data, parts[i].size) < 0)
            errx(1, "%s: out of memory", full);
    corpus_put(c, full, buffer_bytes(&out));
}
#define PUT(c, name, defect, number, ...)                                                          \
    put_parts(c, name, defect, number, (const struct bytes[]){__VA_ARGS__},                        \
              sizeof((const struct bytes[]){__VA_ARGS__}) / sizeof(struct bytes))

static struct bytes head(struct bytes b, size_t n)
{
    return BYTES(b.data, n < b.size ? n : b.size);
}

static struct bytes tail(struct bytes b, size_t at)
{
    return at < b.size ? BYTES(b.data + at, b.size - at) : BYTES_NONE;
}

/* ---- bytes ---- */

#define CUTS 8
#define FLIPS 16

void corpus_bytes(struct corpus *c, const char *name, struct bytes good)
{
    corpus_put(c, name, good);
    PUT(c, name, "empty", 0, BYTES_NONE);
    for (size_t i = 1; i < CUTS; i++)
        PUT(c, name, "cut", i, head(good, good.size * i / CUTS));
    PUT(c, name, "cut", CUTS, head(good, good.size - (good.size > 0)));
    PUT(c, name, "grown", 1, good, BYTES("\0", 1));
    PUT(c, name, "doubled", 0, good, good);
    for (size_t i = 0; good.size > 0 && i < FLIPS; i++) {
        size_t at = (good.size - 1) * i / (FLIPS - 1);
        uint8_t flipped = good.data[at] ^ (uint8_t)(1u << i % 8);
        PUT(c, name, "flipped", i, head(good, at), BYTES(&flipped, 1), tail(good, at + 1));
    }
}

/* ---- lines and words ---- */

/* The piece at `at`, with the separator that ends it. */
static size_t piece_size(struct bytes text, size_t at, char separator)
{
    const uint8_t *end = memchr(text.data + at, separator, text.size - at);
    return end ? (size_t)(end + 1 - (text.data + at)) : text.size - at;
}

static void put_pieces(struct corpus *c, const char *name, struct bytes good, char separator)
{
    size_t number = 0;
    for (size_t at = 0; at < good.size; number++) {
        size_t n = piece_size(good, at, separator);
        struct bytes piece = BYTES(good.data + at, n);
        struct bytes rest = tail(good, at + n);
        PUT(c, name, "without", number, head(good, at), rest);
        PUT(c, name, "double", number, head(good, at), piece, piece, rest);
        size_t next = rest.size ? piece_size(rest, 0, separator) : 0;
        if (next)
            PUT(c, name, "moved", number, head(good, at), head(rest, next), piece,
                tail(rest, next));
        at += n;
    }
}

void corpus_lines(struct corpus *c, const char *name, struct bytes good)
{
    corpus_put(c, name, good);
    put_pieces(c, name, good, '\n');
}

void corpus_words(struct corpus *c, const char *name, struct bytes good)
{
    corpus_put(c, name, good);
    put_pieces(c, name, good, ' ');
}

/* ---- JSON ---- */

/* The n-th value below `node`, in order, is removed, or replaced by `with`. True when found. */
static bool spoil_value(json_t *node, size_t *n, json_t *with)
{
    const char *key;
    json_t *value;
    void *next;
    size_t i;
    json_object_foreach_safe(node, next, key, value)
    {
        if ((*n)-- == 0)
            return (with ? json_object_set(node, key, with) : json_object_del(node, key)) == 0;
        if (spoil_value(value, n, with))
            return true;
    }
    json_array_foreach(node, i, value)
    {
        if ((*n)-- == 0)
            return (with ? json_array_set(node, i, with) : json_array_remove(node, i)) == 0;
        if (spoil_value(value, n, with))
            return true;
    }
    return false;
}

static bool put_spoilt(struct corpus *c, const char *name, const char *defect, json_t *good,
                       size_t n, json_t *with)
{
    size_t left = n;
    _json_ json_t *copy = json_deep_copy(good);
    if (!spoil_value(copy, &left, with))
        return false;
    _free_ char *text = json_dumps(copy, JSON_COMPACT);
    if (!text)
        errx(1, "%s: out of memory", name);
    PUT(c, name, defect, n, BYTES_STR(text));
    return true;
}

void corpus_json(struct corpus *c, const char *name, struct bytes good)
{
    _json_ json_t *root = json_loadb((const char *)good.data, good.size, 0, NULL);
    _json_ json_t *number = json_integer(-1);
    _json_ json_t *object = json_object();
    if (!root || !number || !object)
        errx(1, "%s: not JSON", name);
    for (size_t n = 0; put_spoilt(c, name, "without", root, n, NULL); n++) {
        put_spoilt(c, name, "number", root, n, number);
        put_spoilt(c, name, "object", root, n, object);
    }
    corpus_bytes(c, name, good);
}
