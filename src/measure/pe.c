#include "measure/pe.h"

#include <string.h>

/* PE Format, "MS-DOS Stub", "COFF File Header", "Optional Header". */
#define DOS_HEADER_SIZE 64
#define DOS_PE_OFFSET 0x3c
#define COFF_HEADER_SIZE 20
#define SECTION_HEADER_SIZE 40
#define CHECKSUM_OFFSET 64
#define HEADERS_SIZE_OFFSET 60
#define CERTIFICATE_DIRECTORY 4
#define SECTIONS_MAX 96 /* the Windows loader's own limit */

struct section {
    uint32_t offset;
    uint32_t size;
};

struct pe {
    size_t checksum;              /* offset of the CheckSum field */
    size_t certificate_directory; /* offset of the directory entry; 0: the image has none */
    uint32_t certificates_at;     /* file offset and size of the attribute certificate table */
    uint32_t certificates_size;
    uint32_t headers_size;
    size_t section_count; /* with data in the file, in the order of their offsets */
    struct section sections[SECTIONS_MAX];
};

static struct reader reader_at(struct bytes file, size_t at)
{
    struct reader r = reader_of(file);
    (void)read_bytes(&r, at);
    return r;
}

bool pe_probe(struct bytes file)
{
    if (file.size < DOS_HEADER_SIZE || memcmp(file.data, "MZ", 2) != 0)
        return false;
    struct reader r = reader_at(file, DOS_PE_OFFSET);
    r = reader_at(file, read_le32(&r));
    struct bytes magic = read_bytes(&r, 4);
    return magic.size == 4 && memcmp(magic.data, "PE\0\0", 4) == 0;
}

/* The directories begin elsewhere in PE32 (magic 0x10b) and PE32+ (0x20b). */
static size_t directories_offset(uint16_t magic)
{
    return magic == 0x10b ? 96 : magic == 0x20b ? 112 : 0;
}

static int parse_optional_header(struct pe *pe, struct bytes file, size_t at, size_t size,
                                 struct error *err)
{
    struct reader r = reader_at(file, at);
    uint16_t magic = read_le16(&r);
    size_t directories = directories_offset(magic);
    if (!directories)
        return error_set(err, EBADMSG, "optional header at %zu: unknown magic 0x%x", at, magic);
    if (size < directories || size > file.size - at)
        return error_set(err, EBADMSG, "optional header at %zu: %zu bytes do not fit", at, size);
    pe->checksum = at + CHECKSUM_OFFSET;
    r = reader_at(file, at + HEADERS_SIZE_OFFSET);
    pe->headers_size = read_le32(&r);
    r = reader_at(file, at + directories - 4);
    uint32_t count = read_le32(&r);
    if (count > (size - directories) / 8)
        return error_set(err, EBADMSG, "optional header at %zu: %u data directories do not fit", at,
                         count);
    if (count <= CERTIFICATE_DIRECTORY)
        return 0;
    pe->certificate_directory = at + directories + 8 * (size_t)CERTIFICATE_DIRECTORY;
    r = reader_at(file, pe->certificate_directory);
    pe->certificates_at = read_le32(&r);
    pe->certificates_size = read_le32(&r);
    return 0;
}

/* Insertion keeps them in the order of their file offsets, as the specification hashes them. */
static void insert_section(struct pe *pe, struct section s)
{
    size_t i = pe->section_count++;
    for (; i > 0 && pe->sections[i - 1].offset > s.offset; i--)
        pe->sections[i] = pe->sections[i - 1];
    pe->sections[i] = s;
}

static int parse_sections(struct pe *pe, struct bytes file, size_t at, size_t count,
                          struct error *err)
{
    if (count > SECTIONS_MAX)
        return error_set(err, EBADMSG, "%zu sections, at most %d are possible", count,
                         SECTIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        struct reader r = reader_at(file, at + i * SECTION_HEADER_SIZE + 16);
        uint32_t size = read_le32(&r);
        uint32_t offset = read_le32(&r);
        if (r.error)
            return error_set(err, EBADMSG, "section header %zu is beyond the end", i);
        if (size == 0)
            continue;
        if (offset > file.size || size > file.size - offset)
            return error_set(err, EBADMSG,
                             "section %zu: %u bytes at %u are beyond the end (%zu bytes)", i, size,
                             offset, file.size);
        insert_section(pe, (struct section){.offset = offset, .size = size});
    }
    return 0;
}

static int pe_parse(struct pe *pe, struct bytes file, struct error *err)
{
    if (!pe_probe(file))
        return error_set(err, EBADMSG, "not a PE image");
    struct reader r = reader_at(file, DOS_PE_OFFSET);
    size_t coff = (size_t)read_le32(&r) + 4;
    r = reader_at(file, coff);
    (void)read_le16(&r); /* the machine; firmware decides whether it starts it */
    uint16_t sections = read_le16(&r);
    (void)read_bytes(&r, 12);
    uint16_t optional_size = read_le16(&r);
    (void)read_le16(&r);
    if (r.error)
        return error_set(err, EBADMSG, "COFF header at %zu is beyond the end", coff);
    size_t optional = coff + COFF_HEADER_SIZE;
    int result = parse_optional_header(pe, file, optional, optional_size, err);
    if (result == 0)
        result = parse_sections(pe, file, optional + optional_size, sections, err);
    if (result < 0)
        return result;
    size_t fields_end =
        pe->certificate_directory ? pe->certificate_directory + 8 : pe->checksum + 4;
    if (pe->headers_size < fields_end || pe->headers_size > file.size)
        return error_set(err, EBADMSG, "headers of %u bytes, expected %zu to %zu", pe->headers_size,
                         fields_end, file.size);
    return 0;
}

/* Steps 3 to 8: the headers, but neither the checksum nor the certificate table's entry. */
static void hash_headers(struct digest_stream *s, const struct pe *pe, struct bytes file)
{
    size_t at = pe->checksum + 4;
    digest_update(s, file.data, pe->checksum);
    if (pe->certificate_directory) {
        digest_update(s, file.data + at, pe->certificate_directory - at);
        at = pe->certificate_directory + 8;
    }
    digest_update(s, file.data + at, pe->headers_size - at);
}

/*
 * Steps 9 to 15: the sections, then what is behind them but the certificates. As firmware does
 * (edk2, MeasurePeImageAndExtend), "behind" is counted from the sum of the bytes hashed so far,
 * and the certificates are taken to be the file's last bytes. An image where they are not would
 * get a digest that leaves out something else, so it is refused here.
 */
static int hash_content(struct digest_stream *s, const struct pe *pe, struct bytes file,
                        struct error *err)
{
    uint64_t sum = pe->headers_size;
    for (size_t i = 0; i < pe->section_count; i++) {
        digest_update(s, file.data + pe->sections[i].offset, pe->sections[i].size);
        sum += pe->sections[i].size;
    }
    if (pe->certificates_size && (uint64_t)pe->certificates_at + pe->certificates_size != file.size)
        return error_set(err, EBADMSG, "certificates (%u bytes at %u) are not the last bytes",
                         pe->certificates_size, pe->certificates_at);
    if (sum + pe->certificates_size > file.size)
        return error_set(err, EBADMSG, "sections and certificates overlap or exceed the file");
    digest_update(s, file.data + sum, (size_t)(file.size - sum - pe->certificates_size));
    return 0;
}

int pe_authenticode(struct digest *ret, enum hash_alg alg, struct bytes file, struct error *err)
{
    struct pe pe = {0};
    int r = pe_parse(&pe, file, err);
    if (r < 0)
        return r;
    struct digest_stream *s = digest_begin(alg);
    hash_headers(s, &pe, file);
    r = hash_content(s, &pe, file, err);
    if (r < 0) {
        digest_abort(s);
        return r;
    }
    r = digest_finish(s, ret);
    return r < 0 ? error_set(err, -r, "hashing a PE image failed") : 0;
}
