/* Everything of the software TMM that reads bytes from the guest, from QEMU or from swtpm. */
#include "tmm/port.h"
#include "tmm/registers.h"
#include "tmm/tpm_control.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* First two bytes: where the command ends and the response begins. */
static void watch(const uint8_t *data, size_t size)
{
    struct registers g;

    if (size < 2)
        return;
    size_t split = (size_t)(data[0] | data[1] << 8) % (size - 1);
    registers_init(&g, NULL);
    registers_power_on(&g);
    if (tpm_command_allowed(BYTES(data + 2, split)))
        registers_watch(&g, BYTES(data + 2, split), BYTES(data + 2 + split, size - 2 - split));
}

static void split_control(const uint8_t *data, size_t size)
{
    const struct control_command *c;

    while (size > 0) {
        int n = control_split(BYTES(data, size), &c);
        if (n <= 0)
            return;
        data += n;
        size -= (size_t)n;
    }
}

static void read_port(const uint8_t *data, size_t size)
{
    uint8_t in[PORT_REQUEST_SIZE];
    size_t n = size < sizeof(in) ? size : sizeof(in);

    memcpy(in, data, n);
    if (port_resynchronise(in, n) > n)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parts[])(const uint8_t *, size_t) = {watch, split_control, read_port};

    if (size > 0)
        parts[data[0] % ARRAY_SIZE(parts)](data + 1, size - 1);
    return 0;
}
