/* What is on a disk: partition tables, image files, kernels and programs. */
#include "../unit/pe_writer.h"
#include "corpus.h"
#include "disk/partition.h"
#include "fuzz_disk.h"

#include <err.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/* ---- partition tables ---- */

static void make_gpt(uint8_t head[FUZZ_DISK_HEAD])
{
    struct error e = {0};
    struct partition_table t = {
        .disk_uuid = {1},
        .disk_size = FUZZ_DISK_SIZE,
        .parts = {{1, 40 * 512, 8 * 512, {2}, {3}, 0, "ESP"},
                  {2, 48 * 512, 8 * 512, {4}, {5}, 0, "root"}},
        .count = 2,
    };
    _close_ int fd = memfd_create("disk", MFD_CLOEXEC);
    _blockdev_ struct blockdev *d = NULL;
    if (fd < 0 || ftruncate(fd, FUZZ_DISK_SIZE) < 0 ||
        blockdev_from_fd(&d, fd, "disk", true, &e) < 0 || partition_table_write(&t, d, &e) < 0 ||
        blockdev_read(d, head, FUZZ_DISK_HEAD, 0, &e) < 0)
        errx(1, "making a GPT: %s", e.text);
}

void seeds_gpt(struct corpus *c)
{
    uint8_t head[FUZZ_DISK_HEAD];
    make_gpt(head);
    corpus_bytes(c, "good", BYTES(head + 512, sizeof(head) - 512));
    memcpy(head + 1024 + 128, head + 1024, 128); /* the same partition twice */
    corpus_put(c, "twice", BYTES(head + 512, sizeof(head) - 512));
}

void seeds_partition(struct corpus *c)
{
    uint8_t head[FUZZ_DISK_HEAD], mbr[512] = {0};
    make_gpt(head);
    corpus_bytes(c, "good", BYTES_OF(head));
    memcpy(head + 1024 + 128 + 32, head + 1024 + 32, 8); /* the second begins with the first */
    corpus_put(c, "overlap", BYTES_OF(head));
    mbr[446 + 4] = 0x83;
    put_le32(mbr + 446 + 8, 40);
    put_le32(mbr + 446 + 12, 8);
    put_le16(mbr + 510, 0xaa55);
    corpus_bytes(c, "mbr", BYTES_OF(mbr));
}

/* ---- qcow2 (QEMU docs/interop/qcow2.txt), clusters of 512 bytes ---- */

#define QCOW2_CLUSTER 512

/* Header, refcount table, L1, L2, one cluster of data; and an L2 table behind the header alone. */
void seeds_qcow2(struct corpus *c)
{
    static const uint8_t file = 0, table = 1;
    uint8_t image[5 * QCOW2_CLUSTER] = "QFI\xfb", l2[104 + 16];
    put_be32(image + 4, 3);
    put_be32(image + 20, 9);
    put_be64(image + 24, 4 * QCOW2_CLUSTER);
    put_be32(image + 36, 1);
    put_be64(image + 40, 2 * QCOW2_CLUSTER);
    put_be64(image + 48, 1 * QCOW2_CLUSTER);
    put_be32(image + 56, 1);
    put_be32(image + 96, 4);
    put_be32(image + 100, 104);
    put_be64(image + 2 * QCOW2_CLUSTER, (uint64_t)1 << 63 | 3 * QCOW2_CLUSTER);
    put_be64(image + 3 * QCOW2_CLUSTER, (uint64_t)1 << 63 | 4 * QCOW2_CLUSTER);
    put_be64(image + 3 * QCOW2_CLUSTER + 8, (uint64_t)1 << 62 | 4 * QCOW2_CLUSTER);
    memcpy(l2, image, 104);
    memcpy(l2 + 104, image + 3 * QCOW2_CLUSTER, 16);
    c->prefix = BYTES(&file, 1);
    corpus_bytes(c, "file", BYTES_OF(image));
    image[8 + 7] = 1; /* a backing file */
    corpus_put(c, "backing", BYTES_OF(image));
    c->prefix = BYTES(&table, 1);
    corpus_bytes(c, "table", BYTES_OF(l2));
}

/* ---- programs and kernels ---- */

void seeds_pe(struct corpus *c)
{
    uint8_t pe[PE_SIZE];
    make_pe(pe);
    corpus_bytes(c, "good", BYTES_OF(pe));
    put_le32(pe + SECTION_AT + 20, PE_SIZE);
    corpus_put(c, "section-behind-end", BYTES_OF(pe));
    make_pe(pe);
    put_le32(pe + CERT_ENTRY_AT + 4, PE_SIZE);
    corpus_put(c, "certificates-behind-end", BYTES_OF(pe));
}

static void put_zboot(struct corpus *c, const char *name, const char *format, struct bytes payload)
{
    uint8_t image[64 + 4096] = "MZ\0\0zimg";
    put_le32(image + 8, 64);
    put_le32(image + 12, (uint32_t)payload.size);
    memcpy(image + 24, format, strlen(format));
    memcpy(image + 64, payload.data, payload.size);
    corpus_bytes(c, name, BYTES(image, 64 + payload.size));
}

void seeds_decompress(struct corpus *c)
{
    uint8_t packed[4096];
    uint8_t pe[PE_SIZE];
    make_pe(pe);
    z_stream z = {
        .next_in = pe, .avail_in = sizeof(pe), .next_out = packed, .avail_out = sizeof(packed)};
    if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&z, Z_FINISH) != Z_STREAM_END)
        errx(1, "compressing failed");
    size_t n = z.total_out;
    deflateEnd(&z);
    corpus_bytes(c, "gzip", BYTES(packed, n));
    put_zboot(c, "zboot-gzip", "gzip", BYTES(packed, n));
    n = ZSTD_compress(packed, sizeof(packed), pe, sizeof(pe), 3);
    if (ZSTD_isError(n))
        errx(1, "compressing failed");
    corpus_bytes(c, "zstd", BYTES(packed, n));
    put_zboot(c, "zboot-zstd", "zstd", BYTES(packed, n));
    corpus_bytes(c, "plain", BYTES_OF(pe));
}
