#include "protocol/agent_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct agent_config c;
    if (agent_config_parse(&c, BYTES(data, size), NULL) == 0)
        agent_config_free(&c);
    return 0;
}
