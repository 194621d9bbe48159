#include "measure/grub_pattern.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The pattern, a zero byte, the text. A text's own pattern matches it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    if (!end)
        return 0;
    struct bytes text = BYTES(end + 1, size - (size_t)(end + 1 - data));
    (void)grub_pattern_matches((const char *)data, text);
    if (memchr(text.data, 0, text.size))
        return 0;
    _buffer_ struct buffer own = {0};
    if (grub_pattern_put(&own, text) < 0 || buffer_append(&own, "", 1) < 0)
        return 0;
    if (!grub_pattern_matches((const char *)own.data, text))
        abort();
    return 0;
}
