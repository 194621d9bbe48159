/*
 * jansson is not instrumented, so bytes alone never become a document: the first byte chooses one
 * of several good ones, and the rest of the input is put where it has an "@".
 */
#ifndef ENCROOT_TESTS_FILL_H
#define ENCROOT_TESTS_FILL_H

#include "base/bytes.h"

#include <string.h>

static inline int fill(struct buffer *ret, const char *document, struct bytes in)
{
    const char *at = strchr(document, '@');
    int r = buffer_append(ret, document, (size_t)(at - document));
    if (r == 0)
        r = buffer_append(ret, in.data, in.size);
    return r < 0 ? r : buffer_append(ret, at + 1, strlen(at + 1));
}

#endif
