#include "protocol/http.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input i = {.in = BYTES(data, size)};
    struct http_stream s = {.read = take, .arg = &i};
    struct http_request q;
    struct http_response a;
    if (http_read_request(&s, &q, NULL) < 0) {
        i.at = 0;
        if (http_read_response(&s, &a, NULL) < 0)
            return 0;
    }
    return 0;
}
