#include "platform/platform.h"

#include "platform/virtcca/attester.h"

/* In the order in which they are tried: hardware before its stand-in. */
const struct platform_attester *const platform_attesters[] = {
    &attester_tsi,
    &attester_tmm_port,
    NULL,
};
