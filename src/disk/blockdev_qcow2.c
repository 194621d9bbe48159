/*
 * qcow2 images that are written or read by ourselves (QEMU docs/interop/qcow2.txt): new ones, and
 * existing ones without compression. Through qemu-nbd every byte goes through a socket and a
 * single thread of another process, which takes longer than encrypting it.
 *
 * Which guest cluster is where is kept in memory, four bytes each. In a new image clusters are
 * taken in the order in which they are first written, and data go straight to their place in the
 * file. Header, L1, L2 and refcount tables are written by flush, behind the data: until then the
 * file is no image. No snapshots, no compression, every refcount is one.
 */
#include "disk/blockdev_internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define CLUSTER_BITS QCOW2_MAP_CLUSTER_BITS
#define CLUSTER ((uint64_t)1 << CLUSTER_BITS)
#define ENTRIES (CLUSTER / 8)      /* in an L1 or L2 table's cluster, or the refcount table's */
#define REFCOUNTS (CLUSTER / 2)    /* 16 bits each (refcount_order 4) */
#define COPIED ((uint64_t)1 << 63) /* "refcount is exactly one" */
#define HEADER_CLUSTERS 1
#define CLUSTERS_MAX UINT32_MAX

struct image {
    struct blockdev d;
    int fd;
    uint64_t count;          /* of guest clusters */
    _Atomic uint32_t *where; /* guest cluster → cluster of the file; 0: none */
    pthread_mutex_t lock;    /* of what follows */
    uint32_t l1_clusters;    /* they follow the header */
    uint64_t next;           /* the first cluster of the file that holds no data */
    bool sealed;             /* tables are behind the data, and nothing was written since */
};

static uint32_t clusters_of(uint64_t n, uint64_t in_one)
{
    return (uint32_t)(n / in_one + (n % in_one != 0));
}

static int fail(const struct image *i, struct error *err, int code, const char *doing, uint64_t at)
{
    return error_errno(err, code, "%s: %s at %" PRIu64, i->d.name, doing, at);
}

/* ---- data ---- */
/*
 * A run of bytes at `at` that are together in the file, or nowhere: returns its length, at most
 * `n`, and its place in *place (0: nowhere).
 */
static size_t find_run(struct image *i, uint64_t at, uint64_t n, uint64_t *place)
{
    uint64_t cluster = at >> CLUSTER_BITS, inside = at % CLUSTER;
    uint32_t first = atomic_load(&i->where[cluster]);
    uint64_t length = CLUSTER - inside;
    for (uint32_t next = first; length < n; length += CLUSTER) {
        if (atomic_load(&i->where[++cluster]) != (first ? ++next : 0))
            break;
    }
    *place = first ? ((uint64_t)first << CLUSTER_BITS) + inside : 0;
    return (size_t)(length < n ? length : n);
}

static int image_read(struct blockdev *d, void *p, size_t n, uint64_t at, struct error *err)
{
    struct image *i = (struct image *)d;
    for (uint8_t *to = p; n > 0;) {
        uint64_t place;
        size_t step = find_run(i, at, n, &place);
        int r = 0;
        if (place)
            r = pread_exact(i->fd, to, step, (off_t)place);
        else
            memset(to, 0, step);
        if (r < 0)
            return fail(i, err, -r, "reading", at);
        to += step;
        at += step;
        n -= step;
    }
    return 0;
}

/* Data will be where the tables are: what of a cluster is not written must be zeros. */
static int unseal(struct image *i)
{
    static const uint8_t no_header[QCOW2_HEADER_SIZE];
    int r = pwrite_exact(i->fd, no_header, sizeof(no_header), 0);
    if (r == 0 && ftruncate(i->fd, (off_t)(i->next << CLUSTER_BITS)) < 0)
        r = -errno;
    if (r == 0)
        i->sealed = false;
    return r;
}

static int take_clusters(struct image *i, uint64_t first, uint64_t last)
{
    const uint64_t before = i->next;
    for (uint64_t c = first; c <= last; c++) {
        if (atomic_load(&i->where[c]) != 0)
            continue;
        int r = i->sealed ? unseal(i) : i->next == CLUSTERS_MAX ? -EFBIG : 0;
        if (r < 0)
            return r;
        atomic_store(&i->where[c], (uint32_t)i->next++);
    }
    /* Whole clusters, even when only the start of the last one is written. */
    if (i->next != before && ftruncate(i->fd, (off_t)(i->next << CLUSTER_BITS)) < 0)
        return -errno;
    return 0;
}

static int image_write(struct blockdev *d, const void *p, size_t n, uint64_t at, struct error *err)
{
    struct image *i = (struct image *)d;
    pthread_mutex_lock(&i->lock);
    int r = take_clusters(i, at >> CLUSTER_BITS, (at + n - 1) >> CLUSTER_BITS);
    pthread_mutex_unlock(&i->lock);
    for (const uint8_t *from = p; n > 0 && r == 0;) {
        uint64_t place;
        size_t step = find_run(i, at, n, &place);
        r = pwrite_exact(i->fd, from, step, (off_t)place);
        if (r == 0)
            begin_writeback(i->fd, place, step);
        from += step;
        at += step;
        n -= step;
    }
    return r < 0 ? fail(i, err, -r, "writing", at) : 0;
}

static int image_extents(struct blockdev *d, uint64_t at, uint64_t n, blockdev_extent_fn fn,
                         void *arg, struct error *err)
{
    struct image *i = (struct image *)d;
    for (uint64_t end = at + n; at < end;) {
        bool hole = atomic_load(&i->where[at >> CLUSTER_BITS]) == 0;
        uint64_t stop = at;
        do
            stop += CLUSTER - stop % CLUSTER;
        while (stop < end && (atomic_load(&i->where[stop >> CLUSTER_BITS]) == 0) == hole);
        if (stop > end)
            stop = end;
        int r = fn(arg, at, stop - at, hole);
        if (r != 0)
            return r;
        at = stop;
    }
    return 0;
}

/* ---- tables ---- */
/* Where the tables go, in clusters. */
struct layout {
    uint64_t l2;              /* first one; `l2_count` of them */
    uint64_t refcount_table;  /* `table_count` clusters */
    uint64_t refcount_blocks; /* `block_count` of them */
    uint64_t end;             /* of the file */
    uint32_t l2_count, table_count, block_count;
};

static bool l2_is_empty(const struct image *i, uint64_t table)
{
    uint64_t end = (table + 1) * ENTRIES < i->count ? (table + 1) * ENTRIES : i->count;
    for (uint64_t c = table * ENTRIES; c < end; c++)
        if (atomic_load(&i->where[c]) != 0)
            return false;
    return true;
}

static struct layout make_layout(const struct image *i)
{
    struct layout l = {.l2 = i->next};
    for (uint64_t t = 0; t * ENTRIES < i->count; t++)
        l.l2_count += !l2_is_empty(i, t);
    /* The refcount tables count themselves: grow them until they cover the whole. */
    do {
        l.block_count++;
        l.table_count = clusters_of(l.block_count, ENTRIES);
        l.refcount_table = l.l2 + l.l2_count;
        l.refcount_blocks = l.refcount_table + l.table_count;
        l.end = l.refcount_blocks + l.block_count;
    } while (l.block_count * REFCOUNTS < l.end);
    return l;
}

static int put_cluster(const struct image *i, const uint8_t *p, uint64_t cluster)
{
    return pwrite_exact(i->fd, p, CLUSTER, (off_t)(cluster << CLUSTER_BITS));
}

static int write_l2(const struct image *i, uint8_t *p, uint64_t table, uint64_t cluster)
{
    memset(p, 0, CLUSTER);
    for (uint64_t e = 0; e < ENTRIES && table * ENTRIES + e < i->count; e++) {
        uint64_t place = atomic_load(&i->where[table * ENTRIES + e]);
        if (place)
            put_be64(p + e * 8, place << CLUSTER_BITS | COPIED);
    }
    return put_cluster(i, p, cluster);
}

/* The L1 table and, one after the other, the L2 tables that it points to. */
static int write_mapping(const struct image *i, const struct layout *l, uint8_t *l1, uint8_t *l2)
{
    uint64_t place = l->l2;
    int r = 0;
    for (uint32_t c = 0; c < i->l1_clusters && r == 0; c++) {
        memset(l1, 0, CLUSTER);
        for (uint64_t e = 0; e < ENTRIES && r == 0; e++) {
            uint64_t table = c * ENTRIES + e;
            if (table * ENTRIES >= i->count || l2_is_empty(i, table))
                continue;
            put_be64(l1 + e * 8, place << CLUSTER_BITS | COPIED);
            r = write_l2(i, l2, table, place++);
        }
        if (r == 0)
            r = put_cluster(i, l1, HEADER_CLUSTERS + c);
    }
    return r;
}

static int write_refcounts(const struct image *i, const struct layout *l, uint8_t *p)
{
    int r = 0;
    for (uint32_t c = 0; c < l->table_count && r == 0; c++) {
        memset(p, 0, CLUSTER);
        for (uint64_t e = 0; e < ENTRIES && c * ENTRIES + e < l->block_count; e++)
            put_be64(p + e * 8, (l->refcount_blocks + c * ENTRIES + e) << CLUSTER_BITS);
        r = put_cluster(i, p, l->refcount_table + c);
    }
    for (uint64_t b = 0; b < l->block_count && r == 0; b++) {
        memset(p, 0, CLUSTER);
        for (uint64_t e = 0; e < REFCOUNTS && b * REFCOUNTS + e < l->end; e++)
            put_be16(p + e * 2, 1);
        r = put_cluster(i, p, l->refcount_blocks + b);
    }
    return r;
}

/* "Header"; what is not set is zero: no backing file, no encryption, no snapshots, no features. */
static int write_header(const struct image *i, const struct layout *l, uint8_t *p)
{
    memset(p, 0, CLUSTER);
    memcpy(p, QCOW2_MAGIC, 4);
    put_be32(p + 4, 3);
    put_be32(p + 20, CLUSTER_BITS);
    put_be64(p + 24, i->d.size);
    put_be32(p + 36, clusters_of(i->count, ENTRIES));
    put_be64(p + 40, (uint64_t)HEADER_CLUSTERS << CLUSTER_BITS);
    put_be64(p + 48, l->refcount_table << CLUSTER_BITS);
    put_be32(p + 56, l->table_count);
    put_be32(p + 96, 4); /* refcount_order */
    put_be32(p + 100, QCOW2_HEADER_SIZE);
    return put_cluster(i, p, 0);
}

static int seal(struct image *i)
{
    _free_ uint8_t *space = malloc(2 * CLUSTER);
    if (!space)
        return -ENOMEM;
    const struct layout l = make_layout(i);
    if (ftruncate(i->fd, (off_t)(l.end << CLUSTER_BITS)) < 0)
        return -errno;
    int r = write_mapping(i, &l, space, space + CLUSTER);
    if (r == 0)
        r = write_refcounts(i, &l, space);
    if (r == 0)
        r = write_header(i, &l, space);
    if (r == 0)
        i->sealed = true;
    return r;
}

static int image_flush(struct blockdev *d, struct error *err)
{
    struct image *i = (struct image *)d;
    pthread_mutex_lock(&i->lock);
    int r = i->sealed ? 0 : seal(i);
    pthread_mutex_unlock(&i->lock);
    return r < 0 ? error_errno(err, -r, "%s: writing the qcow2 tables", d->name) : 0;
}

static void image_close(struct blockdev *d)
{
    struct image *i = (struct image *)d;
    if (i->fd >= 0)
        close(i->fd);
    pthread_mutex_destroy(&i->lock);
    free((void *)i->where);
    free(i);
}

static const struct blockdev_ops image_ops = {.read = image_read,
                                              .write = image_write,
                                              .extents = image_extents,
                                              .flush = image_flush,
                                              .close = image_close};

static int refuse_write(struct blockdev *d, const void *p, size_t n, uint64_t at, struct error *err)
{
    return fail((struct image *)d, err, EROFS, "writing", at);
}

static int nothing_to_flush(struct blockdev *d, struct error *err)
{
    return 0;
}

static const struct blockdev_ops mapped_ops = {.read = image_read,
                                               .write = refuse_write,
                                               .extents = image_extents,
                                               .flush = nothing_to_flush,
                                               .close = image_close};

/* Without the descriptor and the map, which stay the caller's until all is well. */
static struct image *new_image(const struct blockdev_ops *ops, uint64_t size, const char *name)
{
    struct image *i = calloc(1, sizeof(*i));
    if (!i || blockdev_init(&i->d, ops, size, name) < 0) {
        free(i);
        return NULL;
    }
    i->fd = -1;
    i->count = size / CLUSTER + (size % CLUSTER != 0);
    pthread_mutex_init(&i->lock, NULL);
    return i;
}

int blockdev_qcow2_mapped(struct blockdev **ret, int fd, const char *name,
                          const struct qcow2_map *map, struct error *err)
{
    struct image *i = new_image(&mapped_ops, map->size, name);
    if (!i)
        return error_set(err, ENOMEM, "%s: out of memory", name);
    i->fd = fd;
    i->where = map->where;
    *ret = &i->d;
    return 0;
}

int blockdev_qcow2_create(struct blockdev **ret, int fd, const char *name, uint64_t size,
                          struct error *err)
{
    uint64_t count = size / CLUSTER + (size % CLUSTER != 0);
    if (size % 512 != 0 || count >= CLUSTERS_MAX)
        return error_set(err, EINVAL, "%s: qcow2 cannot hold a disk of %" PRIu64 " bytes", name,
                         size);
    if (ftruncate(fd, 0) < 0)
        return error_errno(err, errno, "%s: emptying it", name);
    struct image *i = new_image(&image_ops, size, name);
    /* Zero pages until they are used: a large disk costs memory by what is written to it. */
    if (!i || !(i->where = calloc(count, sizeof(*i->where)))) {
        blockdev_close(i ? &i->d : NULL);
        return error_set(err, ENOMEM, "%s: out of memory", name);
    }
    i->l1_clusters = clusters_of(clusters_of(count, ENTRIES), ENTRIES);
    i->next = HEADER_CLUSTERS + i->l1_clusters;
    i->fd = fd;
    *ret = &i->d;
    return 0;
}
