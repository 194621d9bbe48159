/* Labels and forms of the claims, one table for reading and writing. Internal to src/token. */
#ifndef ENCROOT_TOKEN_CCA_LABELS_H
#define ENCROOT_TOKEN_CCA_LABELS_H

#include "token/cca.h"

#define TAG_CCA_TOKEN 399
/* draft-ffm-rats-cca-token-02 and later: the same map, each part a CMW record, which is an array
 * of the part's CoAP content format ("application/eat+cwt") and the part. */
#define TAG_CCA_TOKEN_CMW 907
#define CMW_EAT_CWT 263
#define LABEL_PLATFORM_TOKEN 44234
#define LABEL_CVM_TOKEN 44241
#define LABEL_EXTENDED 44239
#define LABEL_RAK 44237
#define LABEL_LIFECYCLE 2395
#define LABEL_COMPONENTS 2399

/* A claim that is one string, held by a `struct bytes` at `offset` of its struct. */
struct cca_string_claim {
    int64_t label;
    const char *name;
    size_t offset;
    bool text;
    bool required;
    uint16_t sizes[4]; /* the sizes that are possible, zero-terminated; none: 1 to 4096 */
};

extern const struct cca_string_claim cca_cvm_claims[];       /* ends with name NULL */
extern const struct cca_string_claim cca_platform_claims[];  /* ends with name NULL */
extern const struct cca_string_claim cca_component_claims[]; /* ends with name NULL */

#endif
