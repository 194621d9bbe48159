/* The verifier of virtCCA evidence: its token, and the certificate of the platform's key. */
#ifndef ENCROOT_PLATFORM_VIRTCCA_VERIFIER_H
#define ENCROOT_PLATFORM_VIRTCCA_VERIFIER_H

#include "platform/platform.h"

extern const struct platform_verifier virtcca_verifier;

/* PCR → register (0 = RIM, 1..4 = REM0..3), as the guest's firmware maps them. */
#define VIRTCCA_PCRS 24
extern const int8_t virtcca_pcr_map[VIRTCCA_PCRS];

#endif
