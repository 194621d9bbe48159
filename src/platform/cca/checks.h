/* One verification under way, and the checks it consists of. Internal to this folder. */
#ifndef ENCROOT_PLATFORM_VIRTCCA_CHECKS_H
#define ENCROOT_PLATFORM_VIRTCCA_CHECKS_H

#include "crypto/x509.h"
#include "platform/platform.h"
#include "token/cca.h"

struct verification {
    const struct cca_token *token;
    const uint8_t *challenge; /* expected; CHALLENGE_SIZE */
    const struct trust_anchors *anchors;
    struct bytes certificate_file;
    X509 *certificate; /* NULL: none that can be read, which check_certificate says */
    EVP_PKEY *cvm_key; /* NULL likewise: check_cvm_key */
    struct findings *f;
};

/* A check leaves one finding or more under `name`. */
struct check {
    const char *name;
    void (*run)(struct verification *v, const char *name);
};

/* Tables end with name NULL. All of a table runs, whatever its first checks find. */
extern const struct check virtcca_checks_always[];
extern const struct check virtcca_checks_with_platform[];
extern const struct check virtcca_checks_cvm_alone[];

/* At most 80 characters of hostile text, fit for a terminal. */
#define PRINTABLE_SIZE 81
const char *printable(struct bytes text, char ret[PRINTABLE_SIZE]);
/* The algorithm that a text claim names, HASH_NONE if it names none that resists collisions. */
enum hash_alg virtcca_hash(struct bytes claim);

#endif
