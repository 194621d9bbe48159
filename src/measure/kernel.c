#include "measure/kernel.h"
#include "measure/decompress.h"
#include "measure/pe.h"

#include <string.h>

/* Where a self-decompressing image keeps the compressed kernel. size 0: it is not such an image. */
struct payload {
    uint64_t offset;
    uint64_t size;
};

static struct reader reader_at(struct bytes file, size_t at)
{
    struct reader r = reader_of(file);
    (void)read_bytes(&r, at);
    return r;
}

static bool has_at(struct bytes file, size_t at, const char *magic)
{
    struct reader r = reader_at(file, at);
    return bytes_equal(read_bytes(&r, strlen(magic)), BYTES_STR(magic));
}

/* Linux, Documentation/arch/x86/boot.rst: payload_offset counts from the protected-mode code. */
static struct payload bzimage_payload(struct bytes file)
{
    if (!has_at(file, 0x202, "HdrS"))
        return (struct payload){0};
    struct reader r = reader_at(file, 0x1f1);
    uint8_t setup_sectors = read_u8(&r);
    r = reader_at(file, 0x206);
    uint16_t version = read_le16(&r);
    r = reader_at(file, 0x248);
    uint32_t offset = read_le32(&r);
    uint32_t size = read_le32(&r);
    if (r.error || version < 0x0208)
        return (struct payload){0};
    return (struct payload){.offset = (setup_sectors ? setup_sectors + 1u : 5u) * 512ull + offset,
                            .size = size};
}

/* Linux, drivers/firmware/efi/libstub/zboot-header.S */
static struct payload zboot_payload(struct bytes file)
{
    if (!has_at(file, 0, "MZ") || !has_at(file, 4, "zimg"))
        return (struct payload){0};
    struct reader r = reader_at(file, 8);
    uint32_t offset = read_le32(&r);
    uint32_t size = read_le32(&r);
    return r.error ? (struct payload){0} : (struct payload){.offset = offset, .size = size};
}

static int decompress_payload(struct buffer *ret, struct bytes file, struct payload p,
                              struct error *err)
{
    if (p.offset > file.size || p.size > file.size - p.offset)
        return error_set(err, EBADMSG,
                         "kernel: payload of %llu bytes at %llu is beyond the end (%zu bytes)",
                         (unsigned long long)p.size, (unsigned long long)p.offset, file.size);
    struct bytes in = BYTES(file.data + p.offset, p.size);
    if (compression_probe(in) == COMPRESSION_NONE)
        return error_set(err, EOPNOTSUPP,
                         "kernel: its payload is compressed with none of gzip, xz, zstd, lz4");
    size_t used;
    int r = decompress_stream(ret, in, KERNEL_DECOMPRESSED_MAX, &used, err);
    if (r < 0)
        return error_prefix(err, r, "kernel: payload");
    /* The build may put the decompressed size behind the stream (Linux, scripts/Makefile.lib,
     * size_append), and sections are aligned with zeros. */
    size_t left = in.size - used;
    if (left > 4 && !bytes_are_zero(in.data + used, left - 4))
        return error_set(err, EBADMSG, "kernel: %zu bytes follow its compressed payload", left);
    return 0;
}

int kernel_decompress(struct buffer *ret, struct bytes file, struct error *err)
{
    struct payload p = bzimage_payload(file);
    if (p.size == 0)
        p = zboot_payload(file);
    if (p.size > 0)
        return decompress_payload(ret, file, p, err);
    int r = decompress(ret, file, KERNEL_DECOMPRESSED_MAX, err);
    return r < 0 ? error_prefix(err, r, "kernel") : 0;
}

static int measure_pe(struct digest *ret, enum hash_alg alg, struct bytes file,
                      struct bytes decompressed, struct error *err)
{
    struct bytes pe = pe_probe(file) ? file : decompressed;
    if (!pe_probe(pe))
        return 0;
    int r = pe_authenticode(ret, alg, pe, err);
    return r < 0 ? error_prefix(err, r, "kernel") : 0;
}

int kernel_measure(struct reference_kernel *k, enum hash_alg alg, struct bytes file,
                   struct error *err)
{
    struct digest as_file = {0}, inner = {0}, pe = {0};
    _buffer_ struct buffer decompressed = {0};
    if (file.size > KERNEL_FILE_MAX)
        return error_set(err, EFBIG, "kernel: larger than the limit of %zu bytes", KERNEL_FILE_MAX);
    int r = kernel_decompress(&decompressed, file, err);
    if (r < 0 && r != -EOPNOTSUPP)
        return r;
    if (r == 0)
        r = digest_compute(&inner, alg, buffer_bytes(&decompressed));
    if (r == 0 || r == -EOPNOTSUPP)
        r = digest_compute(&as_file, alg, file);
    if (r < 0)
        return error_set(err, -r, "kernel: hashing failed");
    r = measure_pe(&pe, alg, file, buffer_bytes(&decompressed), err);
    if (r < 0)
        return r;
    k->kernel = inner;
    k->kernel_file = as_file;
    k->kernel_pe = pe;
    return 0;
}

static bool contains(struct bytes in, const char *text)
{
    return in.size > 0 && memmem(in.data, in.size, text, strlen(text));
}

/*
 * EFI_CC_MEASUREMENT_PROTOCOL_GUID (UEFI 2.10, 38.2.1), for guests without a TPM. In halves, since
 * a compiler may load it so.
 */
static bool knows_cc_measurement(struct bytes image)
{
    return contains(image, "\x3d\x1a\x75\x96\xf4\x72\xa6\x41") &&
           contains(image, "\xa7\x94\xed\x5d\x0e\x67\xae\x6b");
}

/* By what the EFI stub says when it does so (drivers/firmware/efi/libstub/efi-stub-helper.c), and
 * by both protocols that it may find to measure with. */
static bool stub_takes_any_initramfs(struct bytes image)
{
    bool measures = contains(image, "Measured initrd data into PCR") && knows_cc_measurement(image);
    return contains(image, "LINUX_EFI_INITRD_MEDIA_GUID") && !measures;
}

bool kernel_takes_any_initramfs(struct bytes file)
{
    _buffer_ struct buffer decompressed = {0};
    /* On x86 the stub is outside of what is compressed, on Arm inside. */
    if (kernel_decompress(&decompressed, file, NULL) < 0)
        decompressed.size = 0;
    return stub_takes_any_initramfs(file) || stub_takes_any_initramfs(buffer_bytes(&decompressed));
}
