/* What is read of QEMU's command line. */
#include "measure/qemu_options.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_options(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"file", NULL};
    _buffer_ struct buffer out = {0};
    _free_ char *list = strndup((const char *)data, size);

    if (!list)
        return;
    _free_ char *value = option_value(list, "file");
    _free_ char *replaced = option_replace(list, "file", "x");
    /* What is replaced must be what a second look finds. */
    if (value && replaced) {
        _free_ char *again = option_value(replaced, "file");
        if (!again || strcmp(again, "x") != 0)
            __builtin_trap();
    }
    (void)!option_filter(list, keys, false, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_options(data, size);
    return 0;
}
