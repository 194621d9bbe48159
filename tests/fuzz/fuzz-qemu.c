/* What is read of QEMU's command line. */
#include "measure/qemu_command.h"
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

/* Words end at line breaks. */
static void read_command(const uint8_t *data, size_t size)
{
    _qemu_command_ struct qemu_command c = {0};
    struct error err = {0};
    char *argv[34] = {(char *)"qemu"};
    _free_ char *text = strndup((const char *)data, size);

    if (!text)
        return;
    char *rest = text;
    for (size_t n = 1; n < ARRAY_SIZE(argv) - 1 && (argv[n] = strsep(&rest, "\n")); n++)
        ;
    if (qemu_command_parse(&c, argv, &err) == 0 &&
        ((!c.firmware && !c.kernel) || c.vcpus.value < 1 || c.vcpus.value > RIM_VCPUS_MAX))
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_options(data, size);
    read_command(data, size);
    return 0;
}
