/*
 * One scheme for all sizes: the volume is cut into units; threads take the next unit by an atomic
 * counter, and each reads, encrypts in place and writes its own. No queues, no order, bounded
 * memory. What is free is known in granules of 64 KiB, which is also qcow2's cluster: a granule
 * is skipped when the filesystem uses no byte of it.
 */
#include "disk/encrypt.h"
#include "crypto/volume_key.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define GRANULE ((uint64_t)64 << 10)
#define UNIT ((uint64_t)2 << 20)
#define THREADS_MAX 16
#define REPORT_NANOSECONDS 100000000

struct job {
    struct blockdev *from;
    struct blockdev *to;
    uint64_t size;
    const struct encrypt_options *options;
    uint8_t *used; /* one bit a granule; NULL: all */
    uint64_t units;
    atomic_uint_fast64_t next;
    atomic_uint_fast64_t passed; /* bytes dealt with, skipped ones included */
    atomic_uint_fast64_t encrypted;
    atomic_bool stop;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t ended;
    unsigned running;
    int result;
    struct error error;
};

/* ---- which granules ---- */
static int mark_used(void *arg, uint64_t at, uint64_t length, bool hole)
{
    struct job *j = arg;
    if (hole || length == 0 || at >= j->size)
        return 0;
    uint64_t end = length < j->size - at ? at + length : j->size;
    for (uint64_t g = at / GRANULE; g * GRANULE < end; g++)
        j->used[g / 8] |= (uint8_t)(1u << (g % 8));
    return 0;
}

static bool is_used(const struct job *j, uint64_t g)
{
    return !j->used || (j->used[g / 8] >> (g % 8) & 1);
}

/* The next run of used bytes in [at, end): its start in *run, its length returned; 0: none. */
static uint64_t next_run(const struct job *j, uint64_t at, uint64_t end, uint64_t *run)
{
    uint64_t g = at / GRANULE;
    while (g * GRANULE < end && !is_used(j, g))
        g++;
    uint64_t start = g * GRANULE > at ? g * GRANULE : at;
    while (g * GRANULE < end && is_used(j, g))
        g++;
    uint64_t stop = g * GRANULE < end ? g * GRANULE : end;
    *run = start;
    return start < stop ? stop - start : 0;
}

/* ---- cipher ---- */
/*
 * dm-crypt, "plain64": the IV is the number of the sector as 64-bit little-endian, zero-padded.
 * LUKS2 does not set iv_large_sectors, so the number counts units of 512 bytes whatever the
 * sector size, from the start of the data area.
 */
static int encrypt_sectors(EVP_CIPHER_CTX *ctx, uint8_t *p, size_t n, uint64_t at,
                           uint32_t sector_size)
{
    uint8_t iv[16] = {0};
    for (size_t i = 0; i < n; i += sector_size) {
        int done;
        put_le64(iv, (at + i) / 512);
        if (EVP_EncryptInit_ex2(ctx, NULL, NULL, iv, NULL) != 1 ||
            EVP_EncryptUpdate(ctx, p + i, &done, p + i, (int)sector_size) != 1)
            return -EIO;
    }
    return 0;
}

static EVP_CIPHER_CTX *new_cipher(const struct secret *key)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx && EVP_EncryptInit_ex2(ctx, EVP_aes_256_xts(), secret_bytes(key).data, NULL, NULL) == 1)
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

/* ---- workers ---- */
static int do_run(struct job *j, EVP_CIPHER_CTX *ctx, uint8_t *p, uint64_t at, uint64_t n,
                  struct error *err)
{
    int r = blockdev_read(j->from, p, n, at, err);
    if (r < 0)
        return r;
    if (encrypt_sectors(ctx, p, n, at, j->options->sector_size) < 0)
        return error_set(err, EIO, "AES-256-XTS failed");
    r = blockdev_write(j->to, p, n, at, err);
    if (r == 0)
        atomic_fetch_add(&j->encrypted, n);
    return r;
}

static int do_unit(struct job *j, EVP_CIPHER_CTX *ctx, uint8_t *p, uint64_t unit, struct error *err)
{
    uint64_t begin = unit * UNIT;
    uint64_t end = begin + UNIT < j->size ? begin + UNIT : j->size;
    uint64_t run, n;
    for (uint64_t at = begin; (n = next_run(j, at, end, &run)) > 0; at = run + n) {
        int r = do_run(j, ctx, p, run, n, err);
        if (r < 0)
            return r;
    }
    atomic_fetch_add(&j->passed, end - begin);
    return 0;
}

static void finish(struct job *j, int r, const struct error *err)
{
    pthread_mutex_lock(&j->lock);
    if (r < 0 && j->result == 0) {
        j->result = r;
        j->error = *err;
    }
    if (r < 0)
        atomic_store(&j->stop, true);
    j->running--;
    pthread_cond_signal(&j->ended);
    pthread_mutex_unlock(&j->lock);
}

static void *work(void *arg)
{
    struct job *j = arg;
    struct error err = {0};
    uint8_t *p = aligned_alloc(4096, UNIT);
    EVP_CIPHER_CTX *ctx = new_cipher(j->options->key);
    int r = p && ctx ? 0 : error_set(&err, ENOMEM, "out of memory");
    while (r == 0 && !atomic_load(&j->stop)) {
        uint64_t unit = atomic_fetch_add(&j->next, 1);
        if (unit >= j->units)
            break;
        r = do_unit(j, ctx, p, unit, &err);
    }
    if (p)
        wipe(p, UNIT); /* plaintext of the last unit, if it was not encrypted */
    free(p);
    EVP_CIPHER_CTX_free(ctx);
    finish(j, r, &err);
    return NULL;
}

/* Wait for all workers, reporting meanwhile. */
static void watch(struct job *j, const struct progress *p)
{
    pthread_mutex_lock(&j->lock);
    while (j->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += REPORT_NANOSECONDS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&j->ended, &j->lock, &until);
        pthread_mutex_unlock(&j->lock);
        int r =
            p && p->report ? p->report(p->arg, "encrypting", atomic_load(&j->passed), j->size) : 0;
        pthread_mutex_lock(&j->lock);
        if (r != 0 && j->result == 0) {
            j->result = error_set(&j->error, ECANCELED, "cancelled");
            atomic_store(&j->stop, true);
        }
    }
    pthread_mutex_unlock(&j->lock);
}

static unsigned thread_count(const struct job *j)
{
    unsigned n = j->options->threads;
    if (n == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        n = cores > 0 ? (unsigned)cores : 1;
    }
    if (n > THREADS_MAX)
        n = THREADS_MAX;
    return n > j->units ? (unsigned)j->units : n;
}

static int run_threads(struct job *j, const struct progress *p, struct error *err)
{
    pthread_t threads[THREADS_MAX];
    unsigned wanted = thread_count(j), n = 0;
    j->running = wanted;
    while (n < wanted && pthread_create(&threads[n], NULL, work, j) == 0)
        n++;
    if (n < wanted) { /* those that run do the work of the others */
        pthread_mutex_lock(&j->lock);
        j->running -= wanted - n;
        pthread_mutex_unlock(&j->lock);
    }
    if (n == 0 && wanted > 0)
        return error_set(err, EAGAIN, "cannot start a thread");
    watch(j, p);
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (j->result < 0 && err)
        *err = j->error;
    return j->result;
}

static int check_sizes(const struct blockdev *from, const struct blockdev *to, uint64_t size,
                       const struct encrypt_options *o, struct error *err)
{
    if ((o->sector_size != 512 && o->sector_size != 4096) || size % o->sector_size)
        return error_set(err, EINVAL, "%s: %llu bytes are no multiple of %u-byte sectors",
                         from->name, (unsigned long long)size, o->sector_size);
    if (from->size < size || to->size < size)
        return error_set(err, EINVAL, "%s: shorter than the filesystem (%llu bytes)", from->name,
                         (unsigned long long)size);
    if (secret_size(o->key) != VOLUME_KEY_SIZE)
        return error_set(err, EINVAL, "volume key: expected %d bytes", VOLUME_KEY_SIZE);
    return 0;
}

int encrypt_volume(struct blockdev *from, struct filesystem *fs, struct blockdev *to, uint64_t size,
                   const struct encrypt_options *o, const struct progress *p,
                   struct encrypt_stats *ret, struct error *err)
{
    int r = check_sizes(from, to, size, o, err);
    if (r < 0)
        return r;
    struct job j = {.from = from,
                    .to = to,
                    .size = size,
                    .options = o,
                    .units = (size + UNIT - 1) / UNIT,
                    .lock = PTHREAD_MUTEX_INITIALIZER,
                    .ended = PTHREAD_COND_INITIALIZER};
    if (!o->full) {
        j.used = calloc((size + GRANULE * 8 - 1) / (GRANULE * 8), 1);
        if (!j.used)
            return error_set(err, ENOMEM, "out of memory");
        r = filesystem_used(fs, mark_used, &j, err);
    }
    if (r == 0)
        r = run_threads(&j, p, err);
    free(j.used);
    if (r < 0)
        return r;
    ret->encrypted = atomic_load(&j.encrypted);
    ret->skipped = size - ret->encrypted;
    return 0;
}

/* ---- plain partitions ---- */
struct copy {
    struct blockdev *from;
    struct blockdev *to;
    uint64_t from_at, to_at, size;
    const struct progress *progress;
    uint8_t *buffer;
    struct error *err;
};

/* One buffer of data: runs of granules that are not zero are written. */
static int copy_buffer(const struct copy *c, uint64_t at, size_t n)
{
    int r = blockdev_read(c->from, c->buffer, n, at, c->err);
    for (size_t i = 0; r == 0 && i < n;) {
        size_t step = n - i < GRANULE ? n - i : GRANULE;
        size_t run = 0;
        while (i + run < n && !bytes_are_zero(c->buffer + i + run, step)) {
            run += step;
            step = n - i - run < GRANULE ? n - i - run : GRANULE;
        }
        if (run)
            r = blockdev_write(c->to, c->buffer + i, run, at - c->from_at + c->to_at + i, c->err);
        i += run + step;
    }
    return r;
}

static int copy_extent(void *arg, uint64_t at, uint64_t length, bool hole)
{
    const struct copy *c = arg;
    const struct progress *p = c->progress;
    for (uint64_t done = 0; !hole && done < length;) {
        size_t n = length - done < UNIT ? (size_t)(length - done) : UNIT;
        int r = copy_buffer(c, at + done, n);
        if (r < 0)
            return r;
        done += n;
        if (p && p->report && p->report(p->arg, "copying", at + done - c->from_at, c->size) != 0)
            return error_set(c->err, ECANCELED, "cancelled");
    }
    return 0;
}

int copy_range(struct blockdev *from, struct blockdev *to, uint64_t from_at, uint64_t to_at,
               uint64_t size, const struct progress *p, struct error *err)
{
    struct copy c = {.from = from,
                     .to = to,
                     .from_at = from_at,
                     .to_at = to_at,
                     .size = size,
                     .progress = p,
                     .buffer = aligned_alloc(4096, UNIT),
                     .err = err};
    if (!c.buffer)
        return error_set(err, ENOMEM, "out of memory");
    int r = size ? blockdev_extents(from, from_at, size, copy_extent, &c, err) : 0;
    free(c.buffer);
    return r;
}
