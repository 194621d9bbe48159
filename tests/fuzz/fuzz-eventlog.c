#include "eventlog/eventlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _event_log_ struct event_log l = {0};
    struct digest registers[5];
    if (event_log_parse(&l, BYTES(data, size), HASH_SHA256, NULL) == 0)
        (void)!event_log_replay(&l, NULL, registers, 5, NULL);
    return 0;
}
