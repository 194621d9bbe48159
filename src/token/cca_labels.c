#include "token/cca_labels.h"

#define BSTR(l, type, member, need, ...)                                                           \
    {                                                                                              \
        .label = (l), .name = #member, .offset = offsetof(struct type, member), .required = need,  \
        .sizes = {                                                                                 \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define TSTR(l, type, member, need)                                                                \
    {                                                                                              \
        .label = (l), .name = #member, .offset = offsetof(struct type, member), .required = need,  \
        .text = true                                                                               \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

const struct cca_string_claim cca_cvm_claims[] = {
    BSTR(10, cca_cvm, challenge, true, 64),
    BSTR(44235, cca_cvm, personalization, true, 64),
    BSTR(44238, cca_cvm, initial, true, 32, 48, 64),
    TSTR(44236, cca_cvm, hash_alg, true),
    /* raw P-384 point, COSE_Key of P-384, raw P-521 point, SubjectPublicKeyInfo of RSA-4096 */
    BSTR(LABEL_RAK, cca_cvm, public_key, true, 97, 107, 133, 550),
    TSTR(44240, cca_cvm, binding_hash_alg, true),
    TSTR(265, cca_cvm, profile, false),
    END,
};

const struct cca_string_claim cca_platform_claims[] = {
    TSTR(265, cca_platform, profile, true),
    BSTR(10, cca_platform, challenge, true, 32, 48, 64),
    BSTR(2396, cca_platform, implementation_id, true, 32),
    BSTR(256, cca_platform, instance_id, true, 33),
    BSTR(2401, cca_platform, configuration, true),
    TSTR(2402, cca_platform, hash_alg, true),
    TSTR(2400, cca_platform, verification_url, false),
    END,
};

const struct cca_string_claim cca_component_claims[] = {
    TSTR(1, cca_component, type, false),     BSTR(2, cca_component, measurement, true, 32, 48, 64),
    TSTR(4, cca_component, version, false),  BSTR(5, cca_component, signer_id, true, 32, 48, 64),
    TSTR(6, cca_component, hash_alg, false), END,
};
