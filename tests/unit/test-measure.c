#include "unit.h"
#include "pe_writer.h"
#include "base/hex.h"
#include "base/io.h"
#include "base/spawn.h"
#include "measure/decompress.h"
#include "measure/grub_image.h"
#include "measure/grub_pattern.h"
#include "measure/kernel.h"
#include "measure/pe.h"
#include "measure/reference.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

/* ---- PE ---- */

/* Debian's signed boot files; `log` is what firmware measured for them in a real boot. */
static const struct {
    const char *path;
    const char *package;
} signed_files[] = {
    {"/usr/lib/shim/shimx64.efi.signed", "shim-signed"},
    {"/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", "grub-efi-amd64-signed"},
    {"/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", "grub-efi-amd64-bin"},
};

static void pesign_hash(const char *path, char *ret, size_t size)
{
    const char *argv[] = {"pesign", "-h", "-i", path, NULL};
    _buffer_ struct buffer out = {.max = 4096};
    struct error e = {0};
    assert_int_equal(spawn_wait(argv, NULL, -1, BYTES_NONE, &out, &e), 0);
    assert_int_equal(buffer_append(&out, "", 1), 0);
    const char *hex = strstr((char *)out.data, "hash: ");
    assert_non_null(hex);
    snprintf(ret, size, "%.64s", hex + 6);
}

static void pe_digest_agrees_with_pesign(void **state)
{
    (void)state;
    size_t compared = 0;
    if (access("/usr/bin/pesign", X_OK) != 0) {
        fprintf(stderr, "skipped: pesign is not installed\n");
        skip();
    }
    for (size_t i = 0; i < ARRAY_SIZE(signed_files); i++) {
        _buffer_ struct buffer file = {0};
        struct error e = {0};
        struct digest d;
        char expected[65], hex[DIGEST_HEX_SIZE];
        if (access(signed_files[i].path, R_OK) != 0) {
            fprintf(stderr, "not compared: package %s is not installed\n", signed_files[i].package);
            continue;
        }
        assert_int_equal(read_file(signed_files[i].path, 64 << 20, &file, &e), 0);
        assert_int_equal(pe_authenticode(&d, HASH_SHA256, buffer_bytes(&file), &e), 0);
        digest_hex(&d, hex);
        pesign_hash(signed_files[i].path, expected, sizeof(expected));
        assert_string_equal(hex, expected);
        compared++;
    }
    if (compared == 0)
        skip();
}

/* Of a file that is not signed with that hash: osslsigncode writes what a signature would be over.
 */
static void pe_digests_agree_with_osslsigncode(void **state)
{
    (void)state;
    static const struct {
        enum hash_alg alg;
        const char *name;
    } algs[] = {{HASH_SHA256, "sha256"}, {HASH_SHA384, "sha384"}};
    char folder[] = "/tmp/test-measure-XXXXXX", out[64];
    size_t compared = 0;
    if (access("/usr/bin/osslsigncode", X_OK) != 0) {
        fprintf(stderr, "skipped: osslsigncode is not installed\n");
        skip();
    }
    assert_non_null(mkdtemp(folder));
    snprintf(out, sizeof(out), "%s/signed-data", folder);
    for (size_t i = 0; i < ARRAY_SIZE(signed_files) * ARRAY_SIZE(algs); i++) {
        const char *path = signed_files[i / ARRAY_SIZE(algs)].path;
        enum hash_alg alg = algs[i % ARRAY_SIZE(algs)].alg;
        const char *argv[] = {"osslsigncode",
                              "extract-data",
                              "-h",
                              algs[i % ARRAY_SIZE(algs)].name,
                              "-in",
                              path,
                              "-out",
                              out,
                              NULL};
        _buffer_ struct buffer file = {0}, data = {0}, said = {.max = 4096};
        struct error e = {0};
        struct digest d;
        if (access(path, R_OK) != 0)
            continue;
        assert_int_equal(spawn_wait(argv, NULL, -1, BYTES_NONE, &said, &e), 0);
        assert_int_equal(read_file(out, 65536, &data, &e), 0);
        assert_int_equal(unlink(out), 0);
        assert_int_equal(read_file(path, 64 << 20, &file, &e), 0);
        assert_int_equal(pe_authenticode(&d, alg, buffer_bytes(&file), &e), 0);
        assert_int_equal(d.size, hash_size(alg));
        assert_non_null(memmem(data.data, data.size, d.bytes, d.size));
        compared++;
    }
    assert_int_equal(rmdir(folder), 0);
    if (compared == 0)
        skip();
}

static struct digest pe_digest(const uint8_t *pe)
{
    struct digest d = {0};
    struct error e = {0};
    if (pe_authenticode(&d, HASH_SHA256, BYTES(pe, PE_SIZE), &e) < 0)
        fail_msg("%s", e.text);
    return d;
}

/* Exactly checksum, directory entry and certificates are left out. */
static void pe_digest_covers_every_other_byte(void **state)
{
    (void)state;
    uint8_t pe[PE_SIZE];
    make_pe(pe);
    struct digest good = pe_digest(pe);
    static const size_t covered[] = {2,
                                     CHECKSUM_AT - 5,
                                     CHECKSUM_AT + 4,
                                     CERT_ENTRY_AT - 1,
                                     CERT_ENTRY_AT + 8,
                                     SECTION_AT,
                                     SECTION_DATA - 1,
                                     SECTION_DATA,
                                     SECTION_DATA + SECTION_SIZE - 1,
                                     SECTION_DATA + SECTION_SIZE,
                                     CERT_AT - 1};
    for (size_t i = 0; i < ARRAY_SIZE(covered); i++) {
        pe[covered[i]] ^= 1;
        struct digest d = pe_digest(pe);
        assert_false(digest_equal(&d, &good));
        pe[covered[i]] ^= 1;
    }
    static const size_t left_out[] = {CHECKSUM_AT, CHECKSUM_AT + 3, CERT_AT, PE_SIZE - 1};
    for (size_t i = 0; i < ARRAY_SIZE(left_out); i++) {
        pe[left_out[i]] ^= 1;
        struct digest d = pe_digest(pe);
        assert_true(digest_equal(&d, &good));
    }
}

static void broken_pe_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
    } defects[] = {
        {0, 0},                                    /* no MZ */
        {0x3c, 0xfffffff0},                        /* PE header far away */
        {0x3c, PE_SIZE - 2},                       /* PE header cut off */
        {OPT_AT, 0x107},                           /* a ROM image */
        {OPT_AT + 60, 0},                          /* headers end before they begin */
        {OPT_AT + 60, PE_SIZE + 1},                /* headers beyond the end */
        {OPT_AT + 108, 0x20000000},                /* count of directories overflows */
        {PE_AT + 6, 0xffff},                       /* sections beyond the limit */
        {PE_AT + 20, 0xffff},                      /* optional header beyond the end */
        {SECTION_AT + 16, 0xffffffff},             /* section size overflows */
        {SECTION_AT + 20, PE_SIZE},                /* section beyond the end */
        {CERT_ENTRY_AT, 0x500},                    /* certificates not at the end */
        {CERT_ENTRY_AT + 4, 0xfffffff0},           /* certificates larger than the file */
        {SECTION_AT + 16, PE_SIZE - SECTION_DATA}, /* the section runs over the certificates */
    };
    for (size_t i = 0; i < ARRAY_SIZE(defects); i++) {
        uint8_t pe[PE_SIZE];
        make_pe(pe);
        put_le32(pe + defects[i].at, defects[i].value);
        struct digest d;
        struct error e = {0};
        assert_int_equal(pe_authenticode(&d, HASH_SHA256, BYTES_OF(pe), &e), -EBADMSG);
    }
    uint8_t pe[PE_SIZE];
    make_pe(pe);
    for (size_t size = 0; size < PE_SIZE; size++) {
        struct digest d;
        assert_int_equal(pe_authenticode(&d, HASH_SHA256, BYTES(pe, size), NULL), -EBADMSG);
    }
}

/* ---- decompression ---- */

#define TEXT_SIZE ((size_t)300000)

static void make_text(uint8_t *text)
{
    for (size_t i = 0; i < TEXT_SIZE; i++)
        text[i] = (uint8_t)(i * 31 + i / 4096);
}

static void compress_gzip(struct buffer *out, struct bytes in)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(buffer_reserve(out, in.size + 1024), 0);
    z.next_in = (Bytef *)in.data;
    z.avail_in = (uInt)in.size;
    z.next_out = out->data;
    z.avail_out = (uInt)out->capacity;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->size = z.total_out;
    deflateEnd(&z);
}

static void compress_xz(struct buffer *out, struct bytes in)
{
    assert_int_equal(buffer_reserve(out, lzma_stream_buffer_bound(in.size)), 0);
    assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, in.data, in.size, out->data,
                                             &out->size, out->capacity),
                     LZMA_OK);
}

static void compress_zstd(struct buffer *out, struct bytes in)
{
    assert_int_equal(buffer_reserve(out, ZSTD_compressBound(in.size)), 0);
    out->size = ZSTD_compress(out->data, out->capacity, in.data, in.size, 3);
    assert_false(ZSTD_isError(out->size));
}

static void (*const compressors[])(struct buffer *, struct bytes) = {compress_gzip, compress_xz,
                                                                     compress_zstd};

static void formats_decompress_within_their_bound(void **state)
{
    (void)state;
    _free_ uint8_t *text = malloc(TEXT_SIZE);
    assert_non_null(text);
    make_text(text);
    for (size_t i = 0; i < ARRAY_SIZE(compressors); i++) {
        _buffer_ struct buffer packed = {0};
        _buffer_ struct buffer out = {0};
        compressors[i](&packed, BYTES(text, TEXT_SIZE));
        assert_int_equal(compression_probe(buffer_bytes(&packed)), COMPRESSION_GZIP + i);
        assert_int_equal(decompress(&out, buffer_bytes(&packed), TEXT_SIZE, NULL), 0);
        assert_true(bytes_equal(buffer_bytes(&out), BYTES(text, TEXT_SIZE)));
        assert_int_equal(decompress(&out, buffer_bytes(&packed), TEXT_SIZE - 1, NULL), -EFBIG);
        assert_int_equal(out.size, TEXT_SIZE); /* a failure leaves the output alone */
        struct bytes cut = BYTES(packed.data, packed.size - 1);
        assert_int_equal(decompress(&out, cut, TEXT_SIZE, NULL), -EBADMSG);
        assert_int_equal(buffer_append(&packed, "\0\0\0\0", 4), 0);
        assert_int_equal(decompress(&out, buffer_bytes(&packed), TEXT_SIZE, NULL), 0);
        packed.data[packed.size - 1] = 'x';
        assert_int_equal(decompress(&out, buffer_bytes(&packed), TEXT_SIZE, NULL), -EBADMSG);
    }
}

/* "abcabcabc…" by a literal run and one overlapping match of 15 + 255 + 30 + 4 bytes, then the
 * last literal; after that what a kernel's build puts there. */
static const uint8_t lz4_text[] = {0x02, 0x21, 0x4c, 0x18, 10, 0,    0,   0,  0x3f, 'a', 'b',
                                   'c',  3,    0,    255,  30, 0x10, 'X', 52, 1,    0,   0};

static void lz4_blocks_decompress(void **state)
{
    (void)state;
    _buffer_ struct buffer out = {0};
    size_t used = 0;
    assert_int_equal(decompress_stream(&out, BYTES_OF(lz4_text), 1000, &used, NULL), 0);
    assert_int_equal(used, sizeof(lz4_text) - 4);
    assert_int_equal(out.size, 3 + 304 + 1);
    for (size_t i = 0; i < 307; i++)
        assert_int_equal(out.data[i], "abc"[i % 3]);
    assert_int_equal(out.data[307], 'X');
    assert_int_equal(decompress_stream(&out, BYTES_OF(lz4_text), 308, &used, NULL), 0);
    assert_int_equal(decompress_stream(&out, BYTES_OF(lz4_text), 307, &used, NULL), -EFBIG);
    assert_int_equal(decompress_stream(&out, BYTES_OF(lz4_text), 100, &used, NULL), -EFBIG);
}

static void damaged_lz4_is_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
    } defects[] = {
        {4, 200},  /* block beyond the end */
        {4, 9},    /* a stray byte is taken for the next block's size */
        {7, 0xff}, /* huge block */
        {8, 0xff}, /* more literals than there are */
        {12, 0},   /* offset zero */
        {12, 4},   /* offset before the start */
    };
    for (size_t i = 0; i < ARRAY_SIZE(defects); i++) {
        _buffer_ struct buffer out = {0};
        size_t used;
        uint8_t copy[sizeof(lz4_text)];
        memcpy(copy, lz4_text, sizeof(copy));
        copy[defects[i].at] = defects[i].value;
        assert_int_equal(decompress_stream(&out, BYTES_OF(copy), 1000, &used, NULL), -EBADMSG);
    }
}

static void other_input_is_copied(void **state)
{
    (void)state;
    _buffer_ struct buffer out = {0};
    assert_int_equal(decompress(&out,
                                BYTES_STR("\x7f"
                                          "ELF"),
                                4, NULL),
                     0);
    assert_true(bytes_equal(buffer_bytes(&out), BYTES_STR("\x7f"
                                                          "ELF")));
    assert_int_equal(decompress(&out,
                                BYTES_STR("\x7f"
                                          "ELF"),
                                3, NULL),
                     -EFBIG);
}

/* ---- kernels ---- */

#define PAYLOAD_AT 0x600

static struct digest sha256(struct bytes in)
{
    struct digest d;
    assert_int_equal(digest_compute(&d, HASH_SHA256, in), 0);
    return d;
}

/* A bzImage's setup header, the payload, and the decompressed size behind it. */
static void make_bzimage(struct buffer *out, struct bytes payload)
{
    uint8_t head[PAYLOAD_AT] = {0};
    uint8_t size[4];
    head[0x1f1] = 1;
    memcpy(head + 0x202, "HdrS", 4);
    put_le16(head + 0x206, 0x020f);
    put_le32(head + 0x248, PAYLOAD_AT - 2 * 512);
    put_le32(head + 0x24c, (uint32_t)payload.size + 4);
    put_le32(size, TEXT_SIZE);
    assert_int_equal(buffer_append(out, head, sizeof(head)), 0);
    assert_int_equal(buffer_append(out, payload.data, payload.size), 0);
    assert_int_equal(buffer_append(out, size, sizeof(size)), 0);
    assert_int_equal(buffer_append(out, "behind the payload", 18), 0);
}

static void make_zboot(struct buffer *out, struct bytes payload)
{
    uint8_t head[64] = "MZ\0\0zimg";
    put_le32(head + 8, sizeof(head));
    put_le32(head + 12, (uint32_t)payload.size);
    memcpy(head + 24, "gzip", 4);
    assert_int_equal(buffer_append(out, head, sizeof(head)), 0);
    assert_int_equal(buffer_append(out, payload.data, payload.size), 0);
}

static void make_plain(struct buffer *out, struct bytes payload)
{
    assert_int_equal(buffer_append(out, payload.data, payload.size), 0);
}

static void kernels_are_measured_as_file_and_decompressed(void **state)
{
    (void)state;
    static void (*const forms[])(struct buffer *, struct bytes) = {make_bzimage, make_zboot,
                                                                   make_plain};
    _free_ uint8_t *text = malloc(TEXT_SIZE);
    assert_non_null(text);
    make_text(text);
    struct digest inner = sha256(BYTES(text, TEXT_SIZE));
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(compressors); j++) {
            _buffer_ struct buffer packed = {0};
            _buffer_ struct buffer file = {0};
            struct reference_kernel k = {0};
            struct error e = {0};
            compressors[j](&packed, BYTES(text, TEXT_SIZE));
            forms[i](&file, buffer_bytes(&packed));
            assert_int_equal(kernel_measure(&k, HASH_SHA256, buffer_bytes(&file), &e), 0);
            struct digest outer = sha256(buffer_bytes(&file));
            assert_true(digest_equal(&k.kernel, &inner));
            assert_true(digest_equal(&k.kernel_file, &outer));
            assert_int_equal(k.kernel_pe.size, 0);
        }
    }
}

static void compressed_pe_kernel_has_the_digest_of_the_pe(void **state)
{
    (void)state;
    uint8_t pe[PE_SIZE];
    make_pe(pe);
    struct digest expected = pe_digest(pe);
    _buffer_ struct buffer packed = {0};
    compress_gzip(&packed, BYTES_OF(pe));
    struct reference_kernel k = {0};
    struct error e = {0};
    assert_int_equal(kernel_measure(&k, HASH_SHA256, buffer_bytes(&packed), &e), 0);
    assert_true(digest_equal(&k.kernel_pe, &expected));
}

/* B3: the EFI stub of Linux 5.7 to 5.16, and that of later ones, as x86 and as Arm have it. */
static void kernels_with_a_back_door_for_an_initramfs_are_known(void **state)
{
    (void)state;
    static const char from_firmware[] =
        "MZ... Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path";
    static const char with_tpm[] = "MZ... Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device "
                                   "path\0Measured initrd data into PCR 9";
    static const char measured[] =
        "MZ... Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path\0Measured initrd data "
        "into PCR 9\x3d\x1a\x75\x96\xf4\x72\xa6\x41\xa7\x94\xed\x5d\x0e\x67\xae\x6b";
    _buffer_ struct buffer open = {0};
    _buffer_ struct buffer closed = {0};
    compress_gzip(&open, BYTES_OF(from_firmware));
    compress_gzip(&closed, BYTES_OF(measured));
    assert_true(kernel_takes_any_initramfs(BYTES_OF(from_firmware)));
    assert_true(kernel_takes_any_initramfs(buffer_bytes(&open)));
    assert_true(kernel_takes_any_initramfs(BYTES_OF(with_tpm)));
    assert_false(kernel_takes_any_initramfs(BYTES_OF(measured)));
    assert_false(kernel_takes_any_initramfs(buffer_bytes(&closed)));
    assert_false(kernel_takes_any_initramfs(BYTES_STR("an old kernel")));
    assert_false(kernel_takes_any_initramfs(BYTES_NONE));
}

static void hostile_kernel_headers_are_refused(void **state)
{
    (void)state;
    _buffer_ struct buffer file = {0};
    struct reference_kernel k = {0};
    make_bzimage(&file, BYTES_STR("\x1f\x8b\x08 not gzip"));
    assert_int_equal(kernel_measure(&k, HASH_SHA256, buffer_bytes(&file), NULL), -EBADMSG);
    put_le32(file.data + 0x24c, 0xffffffff);
    assert_int_equal(kernel_measure(&k, HASH_SHA256, buffer_bytes(&file), NULL), -EBADMSG);
    put_le32(file.data + 0x248, 0xffffffff);
    assert_int_equal(kernel_measure(&k, HASH_SHA256, buffer_bytes(&file), NULL), -EBADMSG);
    assert_int_equal(k.kernel_file.size, 0);
}

/* ---- hash.json ---- */

#define HEX_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEX_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* As the virtCCA sample writes it, with a key that nobody knows. */
static const char sample[] = "{\"grub\": \"" HEX_A "\", \"grub.cfg\": \"" HEX_B "\",\n"
                             "\"kernels\": [{\"version\": \"6.6.0-1\", \"kernel\": \"" HEX_A "\",\n"
                             "\"initramfs\": \"NOT_FOUND\", \"comment\": 7}],\n"
                             "\"hash_alg\": \"sha-256\"}\n";

static void sample_reference_values_parse(void **state)
{
    (void)state;
    _reference_values_ struct reference_values v = {0};
    struct error e = {0};
    assert_int_equal(reference_values_parse(&v, BYTES_STR(sample), "hash.json", &e), 0);
    assert_int_equal(v.alg, HASH_SHA256);
    assert_int_equal(v.grub.size, 32);
    assert_int_equal(v.grub.alg, HASH_SHA256);
    assert_int_equal(v.grub_cfg.bytes[0], 0xff);
    assert_int_equal(v.shim.size, 0);
    assert_int_equal(v.kernel_count, 1);
    assert_string_equal(v.kernels[0].version, "6.6.0-1");
    assert_int_equal(v.kernels[0].kernel.size, 32);
    assert_int_equal(v.kernels[0].kernel_file.size, 0);
    assert_int_equal(v.kernels[0].initramfs.size, 0);
    assert_null(v.kernels[0].cmdlines);
    assert_null(v.kernels[0].path);
    assert_null(v.grub_commands);
    assert_null(reference_values_in(&v, HASH_SHA384));
}

static void reference_values_round_trip(void **state)
{
    (void)state;
    struct digest a = {.alg = HASH_SHA256, .size = 32, .bytes = {1}};
    struct digest b = {.alg = HASH_SHA256, .size = 32, .bytes = {2}};
    char *lines[] = {(char *)"/vmlinuz-1 root=/dev/mapper/encroot ro", (char *)"/vmlinuz-1 \"x y\"",
                     NULL};
    struct reference_kernel kernels[] = {
        {.version = (char *)"1",
         .kernel = a,
         .kernel_file = b,
         .kernel_pe = a,
         .initramfs = b,
         .path = (char *)"/vmlinuz-1",
         .initramfs_path = (char *)"/initrd.img-1",
         .cmdlines = lines},
        {.version = (char *)"2", .kernel_file = a},
    };
    struct reference_file files[] = {{(char *)"/EFI/debian/grub.cfg", a},
                                     {(char *)"/grub/grub.cfg", b}};
    char *commands[] = {(char *)"set prefix=(*)/grub", (char *)"menuentry a {\n\tlinux \\\\*\n}",
                        NULL};
    struct reference_values v = {.alg = HASH_SHA256,
                                 .grub_commands = commands,
                                 .shim = a,
                                 .grub = b,
                                 .grub_cfg = a,
                                 .grub_cfgs = files,
                                 .grub_cfg_count = 2,
                                 .kernels = kernels,
                                 .kernel_count = 2};
    _buffer_ struct buffer text = {0};
    _buffer_ struct buffer again = {0};
    _reference_values_ struct reference_values w = {0};
    struct error e = {0};
    assert_int_equal(reference_values_format(&v, &text, &e), 0);
    assert_int_equal(reference_values_parse(&w, buffer_bytes(&text), "hash.json", &e), 0);
    assert_int_equal(reference_values_format(&w, &again, &e), 0);
    assert_true(bytes_equal(buffer_bytes(&text), buffer_bytes(&again)));
    assert_true(digest_equal(&w.shim, &a));
    assert_true(digest_equal(&w.kernels[0].kernel_file, &b));
    assert_string_equal(w.kernels[0].cmdlines[1], "/vmlinuz-1 \"x y\"");
    assert_null(w.kernels[0].cmdlines[2]);
    assert_int_equal(w.kernels[1].kernel.size, 0);
    assert_string_equal(w.grub_cfgs[1].path, "/grub/grub.cfg");
    assert_true(digest_equal(&w.grub_cfgs[1].digest, &b));
    assert_string_equal(w.grub_commands[1], commands[1]);
    assert_null(w.grub_commands[2]);

    /* The sample's tools look for each of these. */
    assert_int_equal(buffer_append(&text, "", 1), 0);
    static const char *const keys[] = {"\"grub\"",
                                       "\"grub.cfg\"",
                                       "\"kernels\"",
                                       "\"version\"",
                                       "\"kernel\"",
                                       "\"initramfs\"",
                                       "\"hash_alg\": \"sha-256\"",
                                       "\"initramfs\": \"NOT_FOUND\""};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        assert_non_null(strstr((char *)text.data, keys[i]));
}

/* The second set: every digest comes back, texts are those of the first. */
static void sha384_round_trip(void **state)
{
    (void)state;
    static const char digits[] = "\"" HEX_A "00112233445566778899aabbccddeeff\"";
    _reference_values_ struct reference_values v = {0}, w = {0};
    _buffer_ struct buffer in = {0}, out = {0};
    struct error e = {0};
    int r = buffer_printf(
        &in,
        "{\"grub\":\"" HEX_A "\",\"grub.cfg\":\"" HEX_B "\",\"hash_alg\":\"sha-256\","
        "\"kernels\":[{\"version\":\"1\",\"path\":\"/v\",\"cmdline\":[\"/v ro\"]}],"
        "\"grub_cfgs\":[{\"path\":\"/g\",\"sha256\":\"" HEX_A "\"}],\"grub_commands\":[\"boot\"],"
        "\"sha-384\":{\"grub\":%s,\"grub.cfg\":%s,\"shim\":%s,\"kernels\":[{\"kernel\":%s,"
        "\"initramfs\":%s,\"kernel_file\":%s,\"kernel_authenticode\":%s}],"
        "\"grub_cfgs\":[{\"sha384\":%s}]}}",
        digits, digits, digits, digits, digits, digits, digits, digits);
    assert_int_equal(r, 0);
    if (reference_values_parse(&v, buffer_bytes(&in), "hash.json", &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(reference_values_format(&v, &out, &e), 0);
    assert_int_equal(reference_values_parse(&w, buffer_bytes(&out), "hash.json", &e), 0);
    const struct reference_values *s = reference_values_in(&w, HASH_SHA384);
    assert_non_null(s);
    const struct digest *digests[] = {&s->grub,
                                      &s->grub_cfg,
                                      &s->shim,
                                      &s->kernels[0].kernel,
                                      &s->kernels[0].initramfs,
                                      &s->kernels[0].kernel_file,
                                      &s->kernels[0].kernel_pe,
                                      &s->grub_cfgs[0].digest};
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
        char hex[DIGEST_HEX_SIZE];
        digest_hex(digests[i], hex);
        assert_int_equal(digests[i]->alg, HASH_SHA384);
        assert_memory_equal(hex, digits + 1, 96);
    }
    assert_string_equal(s->kernels[0].path, "/v");
    assert_string_equal(s->kernels[0].cmdlines[0], "/v ro");
    assert_string_equal(s->grub_cfgs[0].path, "/g");
    assert_string_equal(s->grub_commands[0], "boot");
    assert_ptr_equal(reference_values_in(&w, HASH_SHA256), &w);
    assert_null(reference_values_in(&w, HASH_SHA512));
}

static void wrong_reference_values_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"hash_alg\":\"sha-256\"}",
        "{\"hash_alg\":\"md5\",\"kernels\":[]}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":{}}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[7]}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[{\"version\":1}]}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[{\"version\":\"1\",\"kernel\":\"00\"}]}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[{\"version\":\"1\",\"cmdline\":\"x\"}]}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[{\"version\":\"1\",\"cmdline\":[1]}]}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"grub_cfgs\":[{\"path\":\"/x\"}]}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"grub\":\"zz\"}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"grub_commands\":\"set\"}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"grub_commands\":[7]}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"kernels\":[]}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"sha-384\":7}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"sha-384\":{}}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"sha-384\":{\"kernels\":[{}]}}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"sha-384\":{\"kernels\":[],\"grub\":\"" HEX_A
        "\"}}",
        "{\"hash_alg\":\"sha-256\",\"kernels\":[],\"grub_cfgs\":[{\"path\":\"/"
        "x\",\"sha256\":\"" HEX_A "\"}],\"sha-384\":{\"kernels\":[]}}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct reference_values v = {0};
        struct error e = {0};
        assert_int_equal(reference_values_parse(&v, BYTES_STR(texts[i]), "hash.json", &e), -EINVAL);
        assert_int_equal(strncmp(e.text, "hash.json", 9), 0);
    }
}

/* ---- GRUB's commands ---- */

static void grub_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } cases[] = {
        {"set a=b", "set a=b", true},
        {"set a=b", "set a=bc", false},
        {"set a=b", "set a=", false},
        {"set a=b", "", false},
        {"", "", true},
        {"", "x", false},
        {"set prefix=(*)/grub", "set prefix=(hd0,gpt2)/grub", true},
        {"set prefix=(*)/grub", "set prefix=()/grub", true},
        {"source */grub.cfg", "source (hd0)/grub/grub.cfg", true},
        {"set prefix=(*)/grub", "set prefix=(hd0)/grub/grub", false},
        {"set prefix=(*)/grub", "set prefix=(hd0) x/grub", false},
        {"set prefix=(*)/grub", "set prefix=(hd0)\n/grub", false},
        {"a*b*c", "abbc", true},
        {"a*b*c", "axbxbxc", true},
        {"a*b*c", "axbx c", false},
        {"[ * = xy ]", "[ 1 = xy ]", true},
        {"[ * ]", "[  ]", true},
        {"[ * ]", "[ ]", true},
        {"[ * ]", "[ a b ]", false},
        {"linux /v ro *", "linux /v ro", true},
        {"linux /v ro *", "linux /v ro x", true},
        {"linux /v ro *", "linux /v ro x y", false},
        {"linux /v *x", "linux /v", false},
        {"x * * y", "x a y", true},
        {"x * * y", "x a b y", true},
        {"x * * y", "x a b c y", false},
        {"* x", "a x", true},
        {"echo \\*\\\\", "echo *\\", true},
        {"echo \\*\\\\", "echo ab\\", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (grub_pattern_matches(cases[i].pattern, BYTES_STR(cases[i].text)) != cases[i].matches)
            fail_msg("\"%s\", \"%s\"", cases[i].pattern, cases[i].text);
}

/* What a hostile guest wrote costs no more than its size. */
static void grub_patterns_are_cheap(void **state)
{
    (void)state;
    _buffer_ struct buffer text = {0};
    for (size_t i = 0; i < 20000; i++)
        assert_int_equal(buffer_append(&text, "a a", 2 + i % 2), 0);
    assert_false(grub_pattern_matches("a * * * * * * * * * * * * b", buffer_bytes(&text)));
    memset(text.data, 'a', text.size);
    assert_false(grub_pattern_matches("a*a*a*a*a*a*a*b", buffer_bytes(&text)));
}

static void grub_memdisk_is_found(void **state)
{
    (void)state;
    static const uint8_t wide[] = "..mimg....mimg\0\0\0\0\x18\0\0\0\0\0\0\0\x34\0\0\0\0\0\0\0"
                                  "\0\0\0\0\x0c\0\0\0code\x01\0\0\0\x10\0\0\0the disk..";
    static const uint8_t narrow[] = "mimg\x0c\0\0\0\x18\0\0\0\x01\0\0\0\x0c\0\0\0disk";
    struct bytes disk = grub_image_memdisk(BYTES_OF(wide));
    assert_true(bytes_equal(disk, BYTES_STR("the disk")));
    disk = grub_image_memdisk(BYTES(narrow, sizeof(narrow) - 1));
    assert_true(bytes_equal(disk, BYTES_STR("disk")));
    for (size_t n = 0; n < sizeof(narrow) - 1; n++)
        assert_int_equal(grub_image_memdisk(BYTES(narrow, n)).size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pe_digest_agrees_with_pesign),
        cmocka_unit_test(pe_digests_agree_with_osslsigncode),
        cmocka_unit_test(pe_digest_covers_every_other_byte),
        cmocka_unit_test(broken_pe_is_refused),
        cmocka_unit_test(formats_decompress_within_their_bound),
        cmocka_unit_test(lz4_blocks_decompress),
        cmocka_unit_test(damaged_lz4_is_refused),
        cmocka_unit_test(other_input_is_copied),
        cmocka_unit_test(kernels_are_measured_as_file_and_decompressed),
        cmocka_unit_test(compressed_pe_kernel_has_the_digest_of_the_pe),
        cmocka_unit_test(kernels_with_a_back_door_for_an_initramfs_are_known),
        cmocka_unit_test(hostile_kernel_headers_are_refused),
        cmocka_unit_test(grub_patterns),
        cmocka_unit_test(grub_patterns_are_cheap),
        cmocka_unit_test(grub_memdisk_is_found),
        cmocka_unit_test(sample_reference_values_parse),
        cmocka_unit_test(reference_values_round_trip),
        cmocka_unit_test(sha384_round_trip),
        cmocka_unit_test(wrong_reference_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
