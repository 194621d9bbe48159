#include "daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct daemon_config c;
    struct error err = {0};
    if (config_parse(&c, BYTES(data, size), "encrootd.conf", "/etc/encroot", &err) == 0)
        config_free(&c);
    return 0;
}
