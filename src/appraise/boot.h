/*
 * The walk over a log: what of the boot path has been seen. Two sequences, each within one
 * register, so that a replay vouches for their order: programs that firmware started (shim, GRUB,
 * kernel), and what GRUB read (its configuration, kernel, command line, initramfs).
 */
#ifndef ENCROOT_APPRAISE_BOOT_H
#define ENCROOT_APPRAISE_BOOT_H

#include "appraise/record.h"

/* What a slot of the second sequence waits for. */
enum slot_kind {
    SLOT_CONFIGURATION,
    SLOT_KERNEL,
    SLOT_CMDLINE,
    SLOT_INITRAMFS,
};

struct slot {
    enum slot_kind kind;
    const struct reference_file *file; /* SLOT_CONFIGURATION */
};

enum program {
    PROGRAM_SHIM,
    PROGRAM_GRUB,
    PROGRAM_KERNEL,
};

struct boot_walk {
    const struct reference_values *ref;
    struct findings *f;
    bool *candidates; /* of ref->kernels: all records so far fit this entry */

    enum program program;         /* the next one expected */
    bool program_rejected;        /* a rejection says already that this one is wrong */
    struct digest kernel_program; /* the kernel that was started; size 0: none yet */
    unsigned kernel_program_count;

    struct reference_file main_cfg; /* for reference values without a list of files */
    struct slot *slots;
    size_t slot_count;
    size_t at; /* the slot expected next */

    bool grub_ran;               /* GRUB has measured something */
    bool configuration_rejected; /* a rejection says already that GRUB read another one */
    size_t command_count;        /* of GRUB's, known ones */
    unsigned moks_seen;          /* bits of shim's records */
    size_t number;               /* of the record, from 1, for messages */
};

int boot_walk_begin(struct boot_walk *w, const struct reference_values *ref,
                    struct findings *f) _must_use_;
void boot_walk_end(struct boot_walk *w); /* rejects what is missing */
void boot_walk_free(struct boot_walk *w);
#define _boot_walk_ _cleanup_(boot_walk_free)

/* A record's part in the boot path. Each adds its finding. */
void boot_program(struct boot_walk *w, const struct event *e);
void boot_file(struct boot_walk *w, const struct event *e);
void boot_cmdline(struct boot_walk *w, const struct event *e);
/* A command of GRUB, where the reference values know its commands; only a rejection adds a finding
 * at once, boot_commands_end() one for all that passed. */
void boot_command(struct boot_walk *w, const struct event *e);
void boot_commands_end(struct boot_walk *w);

/* Rejection of one record that nothing explains; `why` may be NULL. */
void boot_unexplained(struct boot_walk *w, const struct event *e, const char *why);

/* Shared by the files of the walk. */
#define REMEDY_IMAGE                                                                               \
    "if this change was intended: encroot image measure -i IMAGE and use its hash.json"
bool reference_matches(const struct digest *reference, const struct event *e);
void boot_keep_candidates(struct boot_walk *w,
                          bool (*fits)(const struct reference_kernel *k, const struct event *e),
                          const struct event *e);
bool boot_candidate_fits(const struct boot_walk *w,
                         bool (*fits)(const struct reference_kernel *k, const struct event *e),
                         const struct event *e);

#endif
