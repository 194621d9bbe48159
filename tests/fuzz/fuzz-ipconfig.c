#include "agent/ipconfig.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = strndup((const char *)data, size);
    struct ipconfig c;
    if (line && ipconfig_parse(line, &c, NULL) == 0)
        ipconfig_for(&c, "eth0");
    free(line);
    return 0;
}
