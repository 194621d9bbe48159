#include "disk/qcow2.h"
#include "base/io.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* Limits that qemu has too (block/qcow2.h). */
#define L1_BYTES_MAX ((uint64_t)32 << 20)
#define REFCOUNT_TABLE_BYTES_MAX ((uint64_t)8 << 20)

/* Incompatible features, bit numbers ("incompatible_features"). */
#define FEATURE_DIRTY ((uint64_t)1 << 0) /* refcounts only: harmless when nothing is written */
#define FEATURE_CORRUPT ((uint64_t)1 << 1)
#define FEATURE_DATA_FILE ((uint64_t)1 << 2)
#define FEATURE_COMPRESSION ((uint64_t)1 << 3)
#define FEATURE_EXTENDED_L2 ((uint64_t)1 << 4)
#define FEATURES_READ (FEATURE_DIRTY | FEATURE_COMPRESSION | FEATURE_EXTENDED_L2)

/* "Standard Cluster Descriptor" and "L1 table entry": bits 9 to 55 are the offset. */
#define OFFSET_MASK UINT64_C(0x00fffffffffffe00)
#define L2_COMPRESSED ((uint64_t)1 << 62)
#define L2_ZERO ((uint64_t)1 << 0)

static uint64_t read_be64(struct reader *r)
{
    uint64_t high = read_be32(r);
    return high << 32 | read_be32(r);
}

static uint64_t be64(const uint8_t *p)
{
    struct reader r = reader_of(BYTES(p, 8));
    return read_be64(&r);
}

static int refuse(struct error *err, const char *what, const char *hint)
{
    int r = error_set(err, EMEDIUMTYPE, "qcow2: %s", what);
    return error_hint(err, r, "%s", hint);
}

static int check_features(uint64_t features, struct error *err)
{
    static const char convert[] = "make one self-contained image first: qemu-img convert -O qcow2";
    if (features & FEATURE_DATA_FILE)
        return refuse(err, "its data are in another file, which is not followed", convert);
    if (features & FEATURE_CORRUPT)
        return refuse(err, "marked as corrupt", "see what qemu-img check says of it");
    if (features & ~FEATURES_READ)
        return refuse(err, "has incompatible features that are not known here", convert);
    return 0;
}

/* Do the tables that the header tells of make sense? */
static int check_tables(const struct qcow2_header *h, struct error *err)
{
    if (h->cluster_bits < 9 || h->cluster_bits > 21)
        return error_set(err, EBADMSG, "qcow2: cluster_bits: expected 9 to 21, found %u",
                         h->cluster_bits);
    const uint64_t cluster = (uint64_t)1 << h->cluster_bits;
    if (h->size == 0 || h->size > INT64_MAX)
        return error_set(err, EBADMSG, "qcow2: cannot be a disk of %" PRIu64 " bytes", h->size);
    if ((h->l1_at | h->refcount_at) & (cluster - 1) || (h->l1_at | h->refcount_at) & ~OFFSET_MASK)
        return error_set(err, EBADMSG, "qcow2: a table does not start at a cluster");
    const uint64_t per_l1 = cluster / h->l2_entry_size * cluster;
    const uint64_t needed = h->size / per_l1 + (h->size % per_l1 != 0);
    if (h->l1_count < needed || (uint64_t)h->l1_count * 8 > L1_BYTES_MAX)
        return error_set(err, EBADMSG,
                         "qcow2: L1 table: expected %" PRIu64 " to %" PRIu64 " entries, found %u",
                         needed, L1_BYTES_MAX / 8, h->l1_count);
    if (h->refcount_clusters * cluster > REFCOUNT_TABLE_BYTES_MAX)
        return error_set(err, EBADMSG, "qcow2: refcount table of %u clusters is too large",
                         h->refcount_clusters);
    return 0;
}

int qcow2_header_parse(struct qcow2_header *ret, struct bytes in, struct error *err)
{
    struct qcow2_header h = {.l2_entry_size = 8};
    struct reader r = reader_of(in);
    struct bytes magic = read_bytes(&r, 4);
    h.version = read_be32(&r);
    uint64_t backing_at = read_be64(&r);
    uint32_t backing_size = read_be32(&r);
    h.cluster_bits = read_be32(&r);
    h.size = read_be64(&r);
    uint32_t crypt_method = read_be32(&r);
    h.l1_count = read_be32(&r);
    h.l1_at = read_be64(&r);
    h.refcount_at = read_be64(&r);
    h.refcount_clusters = read_be32(&r);
    read_bytes(&r, 4 + 8); /* snapshots: not looked at, the active disk is what is read */
    uint64_t incompatible = h.version >= 3 ? read_be64(&r) : 0;
    if (r.error || !bytes_equal(magic, BYTES(QCOW2_MAGIC, 4)))
        return error_set(err, EBADMSG, "qcow2: no header");
    if (h.version != 2 && h.version != 3)
        return refuse(err, "of a version other than 2 and 3",
                      "convert it first: qemu-img convert -O qcow2");
    if (backing_at != 0 || backing_size != 0)
        return refuse(err, "has a backing file, which is not followed",
                      "make one self-contained image first: qemu-img convert -O qcow2");
    if (crypt_method != 0)
        return refuse(err, "is encrypted already",
                      "decrypt it first: qemu-img convert with --image-opts and a secret");
    int result = check_features(incompatible, err);
    if (result < 0)
        return result;
    if (incompatible & FEATURE_EXTENDED_L2)
        h.l2_entry_size = 16;
    result = check_tables(&h, err);
    if (result == 0)
        *ret = h;
    return result;
}

static int truncated(struct error *err, const char *what, uint64_t at, uint64_t file_size)
{
    int r = error_set(err, ENODATA,
                      "qcow2: truncated: %s at %" PRIu64 ", but the file ends at %" PRIu64, what,
                      at, file_size);
    return error_hint(err, r, "fetch or copy it again, and compare its checksum with its source's");
}

/* "Compressed Clusters Descriptor": the first byte, and one in the last sector, by `entry`. */
static uint64_t compressed_last_byte(const struct qcow2_header *h, uint64_t entry)
{
    unsigned x = 62 - (h->cluster_bits - 8);
    uint64_t at = entry & (((uint64_t)1 << x) - 1);
    uint64_t more_sectors = (entry & (L2_COMPRESSED - 1)) >> x;
    return more_sectors == 0 ? at : (at & ~(uint64_t)511) + more_sectors * 512;
}

int qcow2_check_l2(const struct qcow2_header *h, struct bytes table, uint64_t guest_at,
                   uint64_t file_size, struct error *err)
{
    const uint64_t cluster = (uint64_t)1 << h->cluster_bits;
    for (size_t i = 0; i + h->l2_entry_size <= table.size && guest_at < h->size;
         i += h->l2_entry_size, guest_at += cluster) {
        uint64_t entry = be64(table.data + i);
        if (entry & L2_COMPRESSED) {
            if (compressed_last_byte(h, entry) >= file_size)
                return truncated(err, "compressed data are", compressed_last_byte(h, entry),
                                 file_size);
            continue;
        }
        uint64_t at = entry & OFFSET_MASK;
        if (at == 0 || (entry & L2_ZERO && h->l2_entry_size == 8))
            continue; /* reads as zeros */
        /* Of the disk's last cluster only what the guest sees needs to be there. */
        uint64_t need = h->size - guest_at < cluster ? h->size - guest_at : cluster;
        if (at > file_size || file_size - at < need)
            return truncated(err, "data are", at, file_size);
    }
    return 0;
}

/* NULL when the image is not as simple, or too large to keep a map of. */
static _Atomic uint32_t *new_map(const struct qcow2_header *h)
{
    uint64_t count = (h->size >> QCOW2_MAP_CLUSTER_BITS) + 1;
    if (h->cluster_bits != QCOW2_MAP_CLUSTER_BITS || h->l2_entry_size != 8 || count > SIZE_MAX / 8)
        return NULL;
    return calloc((size_t)count, sizeof(_Atomic uint32_t));
}

static void drop_map(struct qcow2_map *map)
{
    free((void *)map->where);
    map->where = NULL;
}

/* Take over what an L2 table says, or drop the map at the first entry that is not plain. */
static void map_l2(struct qcow2_map *map, struct bytes table, uint64_t guest_at)
{
    uint64_t cluster = guest_at >> QCOW2_MAP_CLUSTER_BITS;
    for (size_t i = 0; map->where && i + 8 <= table.size && guest_at < map->size; i += 8) {
        uint64_t entry = be64(table.data + i);
        uint64_t at = entry & L2_ZERO ? 0 : entry & OFFSET_MASK;
        if (entry & L2_COMPRESSED || at % (1u << QCOW2_MAP_CLUSTER_BITS) ||
            at >> QCOW2_MAP_CLUSTER_BITS > UINT32_MAX)
            drop_map(map);
        else
            map->where[cluster++] = (uint32_t)(at >> QCOW2_MAP_CLUSTER_BITS);
        guest_at += (uint64_t)1 << QCOW2_MAP_CLUSTER_BITS;
    }
}

static int check_l1(int fd, const struct qcow2_header *h, struct bytes l1, uint64_t file_size,
                    struct qcow2_map *map, struct error *err)
{
    const uint64_t cluster = (uint64_t)1 << h->cluster_bits;
    const uint64_t per_l1 = cluster / h->l2_entry_size * cluster;
    _free_ uint8_t *table = malloc(cluster);
    if (!table)
        return error_set(err, ENOMEM, "qcow2: out of memory");
    uint64_t guest_at = 0;
    for (size_t i = 0; i < l1.size && guest_at < h->size; i += 8, guest_at += per_l1) {
        uint64_t at = be64(l1.data + i) & OFFSET_MASK;
        if (at == 0)
            continue;
        int r = pread_exact(fd, table, cluster, (off_t)at);
        if (r == -ENODATA)
            return truncated(err, "an L2 table is", at, file_size);
        if (r < 0)
            return error_errno(err, -r, "qcow2: reading the L2 table at %" PRIu64, at);
        r = qcow2_check_l2(h, BYTES(table, cluster), guest_at, file_size, err);
        if (r < 0)
            return r;
        map_l2(map, BYTES(table, cluster), guest_at);
    }
    return 0;
}

static int check_fd(int fd, struct qcow2_map *map, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "qcow2: fstat");
    const uint64_t file_size = (uint64_t)st.st_size;
    uint8_t head[QCOW2_HEADER_SIZE];
    int r = pread_exact(fd, head, sizeof(head), 0);
    if (r < 0)
        return error_errno(err, -r, "qcow2: reading the header");
    struct qcow2_header h;
    r = qcow2_header_parse(&h, BYTES_OF(head), err);
    if (r < 0)
        return r;
    uint64_t refcounts_end = h.refcount_at + ((uint64_t)h.refcount_clusters << h.cluster_bits);
    if (refcounts_end > file_size)
        return truncated(err, "the refcount table is", h.refcount_at, file_size);
    _free_ uint8_t *l1 = malloc((size_t)h.l1_count * 8);
    if (!l1)
        return error_set(err, ENOMEM, "qcow2: out of memory");
    r = pread_exact(fd, l1, (size_t)h.l1_count * 8, (off_t)h.l1_at);
    if (r == -ENODATA)
        return truncated(err, "the L1 table is", h.l1_at, file_size);
    if (r < 0)
        return error_errno(err, -r, "qcow2: reading the L1 table");
    *map = (struct qcow2_map){.size = h.size, .where = new_map(&h)};
    return check_l1(fd, &h, BYTES(l1, (size_t)h.l1_count * 8), file_size, map, err);
}

int qcow2_check_file(int fd, const char *name, struct qcow2_map *ret, struct error *err)
{
    struct qcow2_map map = {0};
    int r = check_fd(fd, &map, err);
    if (r < 0) {
        drop_map(&map);
        return error_prefix(err, r, "%s", name);
    }
    *ret = map;
    return 0;
}
