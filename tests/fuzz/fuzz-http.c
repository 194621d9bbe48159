#include "protocol/http.h"

#include <stdlib.h>
#include <string.h>

struct input {
    struct bytes in;
    size_t at;
};

static ssize_t take(void *arg, void *p, size_t n, struct error *err)
{
    (void)err;
    struct input *i = arg;
    size_t left = i->in.size - i->at;
    n = n < left ? n : left;
    if (n)
        memcpy(p, i->in.data + i->at, n);
    i->at += n;
    return (ssize_t)n;
}

/* From memory, in portions, as from a stream. */
static void parse_in_portions(struct bytes in, bool from_stream)
{
    struct http_request q;
    size_t at = 0, n = 0;
    int r = 0;
    while (r == 0 && n < in.size)
        r = http_head_end(BYTES(in.data, n += 1 + n / 2 < in.size - n ? 1 + n / 2 : in.size - n),
                          &at, NULL);
    bool good = r > 0 && http_parse_request(BYTES(in.data, at), &q, NULL) == 0;
    if (good != from_stream)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input i = {.in = BYTES(data, size)};
    struct http_stream s = {.read = take, .arg = &i};
    struct http_request q;
    struct http_response a;
    bool good = http_read_request(&s, &q, NULL) == 0;
    parse_in_portions(i.in, good);
    if (!good) {
        i.at = 0;
        if (http_read_response(&s, &a, NULL) < 0)
            return 0;
    }
    return 0;
}
