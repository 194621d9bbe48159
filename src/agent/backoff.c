#include "agent/backoff.h"

uint64_t backoff_wait(unsigned failures, uint32_t random)
{
    unsigned doublings = failures < 1 ? 1 : failures > 5 ? 5 : failures;
    uint64_t most = BACKOFF_MIN << doublings;
    if (most > BACKOFF_MAX)
        most = BACKOFF_MAX;
    uint64_t half = most / 2;
    return half + half / 1000 * random / UINT32_MAX * 1000;
}
