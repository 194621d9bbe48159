#include "agent/gpt.h"

#include <string.h>

#define BLOCK 512

static uint32_t crc(const uint8_t *p, size_t n)
{
    uint32_t c = UINT32_MAX;
    while (n--) {
        c ^= *p++;
        for (int i = 0; i < 8; i++)
            c = (c >> 1) ^ (UINT32_C(0xedb88320) & (0 - (c & 1)));
    }
    return ~c;
}

/* One block of header, then the entries; with the checksums made right, which no fuzzer guesses. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t guid[16] = {0};
    uint8_t header[BLOCK];
    struct gpt_header h;
    struct gpt_partition p;
    if (size < BLOCK)
        return 0;
    memcpy(header, data, BLOCK);
    memcpy(header, "EFI PART", 8);
    put_le32(header + 12, 92);
    put_le32(header + 16, 0);
    put_le64(header + 24, 1);
    put_le32(header + 88, crc(data + BLOCK, size - BLOCK));
    put_le32(header + 16, crc(header, 92));
    if (gpt_parse_header(BYTES_OF(header), 1 << 20, &h, NULL) < 0)
        return 0;
    int r = gpt_find(&h, BYTES(data + BLOCK, size - BLOCK), guid, &p, NULL);
    (void)r;
    return 0;
}
