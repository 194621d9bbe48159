/*
 * The plan: everything that an encrypted image will hold but for the ciphertext, made in memory
 * from an input that is only read. `image_perform` (encrypt_image.h) carries it out.
 */
#ifndef ENCROOT_IMAGE_IMAGE_PLAN_H
#define ENCROOT_IMAGE_IMAGE_PLAN_H

#include "base/secret.h"
#include "image/bootpath.h"
#include "image/bootplan.h"
#include "image/cmdline.h"
#include "image/growth.h"
#include "measure/reference.h"
#include "protocol/agent_config.h"

#define AGENT_FILE_MAX ((size_t)64 << 20)
#define IMAGE_DEADLINE 900 /* seconds until the agent gives up, by default */

struct image_request {
    const char *input;
    unsigned root_partition; /* 0: find it */
    const struct secret *secret;
    struct bytes agent; /* the static program */
    uint8_t pins[AGENT_PINS_MAX][32];
    size_t pin_count;
    struct cmdline_options cmdline;
    const struct broker_address *brokers; /* to dial; at most AGENT_BROKERS_MAX */
    size_t broker_count;
    uint16_t listen_port; /* 0: do not listen */
    uint32_t deadline;
    enum agent_failure_action on_failure;
    const struct reference_values *references; /* the input must have these; NULL: any */
};

/* One initramfs, for all entries that boot one kernel. */
struct image_kernel {
    char *version;
    char *path;           /* of the kernel, on the boot filesystem */
    char *initramfs_path; /* "/encroot-<version>.img" there */
    struct buffer initramfs;
    size_t module_count;
    bool read_only;
    char *root_flags;
};

struct image_plan {
    struct layout layout;
    struct bootpath bootpath;
    struct bootplan boot;     /* entries that stay, and those that do not */
    struct cmdline *cmdlines; /* one for each entry that stays */
    struct image_kernel *kernels;
    size_t kernel_count;
    struct buffer grub_cfg; /* the main configuration */
    struct buffer stub;     /* for every one on the ESP that is not plain */
    struct partition_table table;
    enum growth growth;
    uint8_t volume_uuid[16];
    uint32_t sector_size;
    uint64_t data_size;
    struct reference_values references; /* of the output */
    char **warnings;                    /* NULL-terminated; may be NULL */
};

int image_plan_make(struct image_plan *ret, const struct image_request *q,
                    struct error *err) _must_use_;
void image_plan_free(struct image_plan *p);
#define _image_plan_ _cleanup_(image_plan_free)

#endif
