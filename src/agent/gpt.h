/*
 * GUID partition tables (UEFI 2.10, 5.3), read only as far as finding one partition by its unique
 * GUID takes. The disk is the host's: bounded, checksums verified.
 */
#ifndef ENCROOT_AGENT_GPT_H
#define ENCROOT_AGENT_GPT_H

#include "base/bytes.h"
#include "base/error.h"

#define GPT_ENTRIES_SIZE_MAX ((size_t)1 << 20)

struct gpt_header {
    uint64_t first_usable; /* logical blocks */
    uint64_t last_usable;
    uint64_t entries_block; /* where the entries are */
    uint32_t entry_count;
    uint32_t entry_size;
    uint32_t entries_crc;
};

struct gpt_partition {
    unsigned number; /* 1.. */
    uint64_t first;  /* logical blocks, inclusive */
    uint64_t last;
};

/* `block` is logical block 1, whole; the disk has `blocks` blocks. */
int gpt_parse_header(struct bytes block, uint64_t blocks, struct gpt_header *ret,
                     struct error *err) _must_use_;
/* Bytes of the entry array, at most GPT_ENTRIES_SIZE_MAX. */
size_t gpt_entries_size(const struct gpt_header *h);
/*
 * Look for a partition by its GUID (16 bytes in the order of its text form). 0, -ENOENT when it
 * is not there, -ENOTUNIQ when it is there more than once, -EBADMSG when the array is damaged.
 */
int gpt_find(const struct gpt_header *h, struct bytes entries, const uint8_t guid[16],
             struct gpt_partition *ret, struct error *err) _must_use_;

#endif
