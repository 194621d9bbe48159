/*
 * Appraisal policy for evidence (RFC 9334, 8.5) as a JSON file: what encroot-policy(5) documents.
 * Unknown members are errors, absent ones accept nothing. A string that names a file is relative to
 * the policy's own folder; PEM texts and objects may stand in the place of files, so that a policy
 * can be one file and nothing else.
 */
#ifndef ENCROOT_APPRAISE_POLICY_H
#define ENCROOT_APPRAISE_POLICY_H

#include "appraise/appraise.h"
#include "crypto/x509.h"

#define POLICY_FILE_MAX ((size_t)8 << 20)
#define POLICY_BOOT_MAX 64   /* sets of reference values */
#define POLICY_LIST_MAX 1024 /* entries of any other list */

/* The owner of everything that its `appraisal` points to. */
struct policy {
    struct appraisal_policy appraisal;
    /* the rest is for policy*.c */
    uint8_t volume[16];
    struct trust_anchors *anchors;
    struct reference_values *boot;
    size_t boot_count;
    void **blocks; /* everything else, freed together */
    size_t block_count;
};

/*
 * Read a policy. `name` is for errors. `folder` is where relative file names begin; NULL: the
 * policy must not name files. -EINVAL, with the member that is wrong; the errors of the files it
 * names. On failure *ret is unchanged.
 */
int policy_parse(struct policy **ret, struct bytes json, const char *name, const char *folder,
                 struct error *err) _must_use_;
/* The same from a file, whose folder is where relative names begin. */
int policy_load_file(struct policy **ret, const char *path, struct error *err) _must_use_;

/*
 * The policy that RIMs, one set of reference values and trust anchors describe without a file:
 * everything that has no value there is waived (WAIVERS_ALL), and a certified key may sign for
 * itself. Takes over `anchors` and the content of `boot`, also on failure.
 */
int policy_of_values(struct policy **ret, const struct digest *initial, size_t initial_count,
                     struct reference_values *boot, struct trust_anchors *anchors,
                     struct error *err) _must_use_;

/* A copy of `size` bytes that lives as long as the policy; NULL without memory. */
void *policy_keep(struct policy *p, const void *from, size_t size) _must_use_;

void policy_free(struct policy *p);
static inline void cleanup_policy(struct policy **p)
{
    policy_free(*p);
}
#define _policy_ _cleanup_(cleanup_policy)

/* A RIM or another digest of an unnamed algorithm: 64, 96 or 128 hexadecimal digits, either case,
 * are SHA-256, SHA-384, SHA-512. -EINVAL otherwise. */
int policy_digest(struct digest *ret, const char *text) _must_use_;

/*
 * A kernel command line of its boots whose root is not /dev/mapper/encroot: whoever boots that has
 * a root that nobody vouches for. NULL: there is none. Reference values without command lines (the
 * sample's) say nothing.
 */
const char *policy_plain_boot(const struct appraisal_policy *p);

/* "secured" and the like (RMM, A7.2.3.2.3), by the high byte of the state; NULL if unknown. */
const char *lifecycle_name(uint8_t high);

#endif
