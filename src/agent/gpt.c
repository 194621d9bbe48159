#include "agent/gpt.h"

#include "base/hex.h"

#include <string.h>

#define SIGNATURE "EFI PART"
#define HEADER_MIN 92
#define ENTRY_MIN 128

/* CRC-32 (ISO 3309), as UEFI wants it. Small instead of fast: it runs over 16 KiB once a disk. */
static uint32_t crc32(uint32_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static uint32_t header_crc(struct bytes header)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32(0, header.data, 16);
    crc = crc32(crc, zeros, 4); /* the checksum itself counts as zero */
    return crc32(crc, header.data + 20, header.size - 20);
}

static int check_header(const struct gpt_header *h, uint64_t blocks, struct error *err)
{
    if (h->entry_size < ENTRY_MIN || h->entry_size % 8 || h->entry_count == 0 ||
        h->entry_count > GPT_ENTRIES_SIZE_MAX / h->entry_size)
        return error_set(err, EBADMSG, "GPT: %u entries of %u bytes are out of bounds",
                         h->entry_count, h->entry_size);
    if (h->entries_block < 2 || h->entries_block >= blocks || h->first_usable > h->last_usable ||
        h->last_usable >= blocks)
        return error_set(err, EBADMSG, "GPT: blocks beyond the disk's end");
    return 0;
}

int gpt_parse_header(struct bytes block, uint64_t blocks, struct gpt_header *ret, struct error *err)
{
    struct reader r = reader_of(block);
    struct bytes signature = read_bytes(&r, 8);
    read_le32(&r); /* revision */
    uint32_t size = read_le32(&r);
    uint32_t crc = read_le32(&r);
    read_le32(&r); /* reserved */
    uint64_t self = read_le64(&r);
    read_le64(&r); /* the other copy */
    struct gpt_header h = {.first_usable = read_le64(&r), .last_usable = read_le64(&r)};
    read_bytes(&r, 16); /* disk GUID */
    h.entries_block = read_le64(&r);
    h.entry_count = read_le32(&r);
    h.entry_size = read_le32(&r);
    h.entries_crc = read_le32(&r);
    if (r.error || !bytes_equal(signature, BYTES(SIGNATURE, 8)))
        return error_set(err, ENODATA, "no GPT");
    if (size < HEADER_MIN || size > block.size || header_crc(BYTES(block.data, size)) != crc)
        return error_set(err, EBADMSG, "GPT: the header's checksum is wrong");
    if (self != 1)
        return error_set(err, EBADMSG, "GPT: the header is not where it says it is");
    int e = check_header(&h, blocks, err);
    if (e < 0)
        return e;
    *ret = h;
    return 0;
}

size_t gpt_entries_size(const struct gpt_header *h)
{
    return (size_t)h->entry_count * h->entry_size;
}

/* In text order the first three fields are big-endian, on disk little-endian (UEFI, appendix A). */
static void guid_to_disk(const uint8_t text[16], uint8_t disk[16])
{
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (size_t i = 0; i < 16; i++)
        disk[i] = text[order[i]];
}

static int read_entry(const struct gpt_header *h, struct bytes entry, struct gpt_partition *p,
                      struct error *err)
{
    struct reader r = reader_of(entry);
    read_bytes(&r, 32); /* type and unique GUID */
    p->first = read_le64(&r);
    p->last = read_le64(&r);
    if (r.error || p->first < h->first_usable || p->last < p->first || p->last > h->last_usable)
        return error_set(err, EBADMSG, "GPT: partition %u lies outside the disk", p->number);
    return 0;
}

int gpt_find(const struct gpt_header *h, struct bytes entries, const uint8_t guid[16],
             struct gpt_partition *ret, struct error *err)
{
    if (entries.size != gpt_entries_size(h) ||
        crc32(0, entries.data, entries.size) != h->entries_crc)
        return error_set(err, EBADMSG, "GPT: the checksum of the entries is wrong");
    uint8_t wanted[16];
    guid_to_disk(guid, wanted);
    struct gpt_partition found = {0};
    for (uint32_t i = 0; i < h->entry_count; i++) {
        const uint8_t *entry = entries.data + (size_t)i * h->entry_size;
        if (bytes_are_zero(entry, 16) || memcmp(entry + 16, wanted, 16) != 0)
            continue;
        if (found.number)
            return error_set(err, ENOTUNIQ, "GPT: partitions %u and %u have the same GUID",
                             found.number, i + 1);
        found.number = i + 1;
        int e = read_entry(h, BYTES(entry, h->entry_size), &found, err);
        if (e < 0)
            return e;
    }
    if (!found.number)
        return error_set(err, ENOENT, "GPT: no such partition");
    *ret = found;
    return 0;
}
