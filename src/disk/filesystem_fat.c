/*
 * FAT by mtools, which works on a file of its own: an unnamed sparse copy of the partition, of
 * which the changed parts are written back at the end. (What is in a boot partition is no secret.)
 */
#include "disk/filesystem_internal.h"
#include "disk/encrypt.h"
#include "base/spawn.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#define OLD_FILE_MAX ((size_t)1 << 30)
#define OUTPUT_MAX ((size_t)8 << 20)
#define CHUNK ((size_t)1 << 20)
#define DOS_EPOCH INT64_C(315532800) /* 1980-01-01: FAT knows no time before it */

struct fat {
    struct filesystem fs;
    int fd;                /* the copy */
    struct blockdev *copy; /* the same as a device */
    char image[32];        /* its path for mtools */
};

/* mtools takes some characters of a name for patterns, and "\" for "/". */
static int check_path(const struct fat *f, const char *path, struct error *err)
{
    if (path[0] == '/' && strlen(path) < 1024 && !strpbrk(path, "*?[]\\\n\r"))
        return 0;
    return error_set(err, EINVAL, "%s: '%s' is not the absolute path of a file on FAT",
                     f->fs.d->name, path);
}

struct call {
    const char *program;
    const char *option; /* may be NULL */
    const char *source; /* a path inside, or "-" */
    const char *target; /* may be NULL */
};

static int run(struct fat *f, const struct call *c, int64_t mtime, struct bytes in,
               struct buffer *out, struct error *err)
{
    char epoch[64];
    snprintf(epoch, sizeof(epoch), "SOURCE_DATE_EPOCH=%" PRId64,
             mtime < DOS_EPOCH ? DOS_EPOCH : mtime);
    const char *const env[] = {"MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1", "TZ=UTC", epoch, NULL};
    const char *argv[8] = {c->program, "-i", f->image};
    size_t n = 3;
    if (c->option)
        argv[n++] = c->option;
    argv[n++] = c->source;
    argv[n] = c->target;
    int r = spawn_wait(argv, env, f->fd, in, out, err);
    if (r <= 0)
        return r < 0 ? error_prefix(err, r, "%s", f->fs.d->name) : 0;
    bool missing = err && strstr(err->text, "not found");
    return error_prefix(err, missing ? -ENOENT : -EIO, "%s", f->fs.d->name);
}

/* "::" and the path, as mtools has it; without a slash at the end. */
static char *inside(const char *path)
{
    char *name = NULL;
    if (asprintf(&name, "::%s", path) < 0)
        return NULL;
    for (size_t n = strlen(name); n > 3 && name[n - 1] == '/'; n--)
        name[n - 1] = '\0';
    return name;
}

/* One full path a line; folders end in "/". A file is listed as itself. */
static int list_lines(struct fat *f, const char *name, struct buffer *ret, struct error *err)
{
    struct error own;
    ret->max = OUTPUT_MAX;
    const struct call call = {.program = "mdir", .option = "-ab", .source = name};
    int r = run(f, &call, 0, BYTES_NONE, ret, &own);
    if (r == 0 && buffer_append(ret, "", 1) < 0)
        r = error_set(&own, ENOMEM, "%s: listing it", f->fs.d->name);
    if (r == -ENOENT)
        return error_errno(err, ENOENT, "%s: %s", f->fs.d->name, name + 2);
    if (r < 0 && err)
        *err = own;
    return r;
}

/* 0 for a file, -EISDIR for a folder, -ENOENT. */
static int find_file(struct fat *f, const char *name, struct error *err)
{
    _buffer_ struct buffer lines = {0};
    int r = list_lines(f, name, &lines, err);
    if (r < 0)
        return r;
    const char *first = (const char *)lines.data;
    size_t n = strcspn(first, "\n");
    if (n == strlen(name) && strncasecmp(first, name, n) == 0)
        return 0;
    return error_errno(err, EISDIR, "%s: %s", f->fs.d->name, name + 2);
}

static int read_inside(struct fat *f, const char *name, size_t max, struct buffer *ret,
                       struct error *err)
{
    int r = find_file(f, name, err);
    if (r < 0)
        return r;
    _buffer_ struct buffer b = {.max = max < SIZE_MAX ? max + 1 : max};
    const struct call call = {.program = "mcopy", .option = "-n", .source = name, .target = "-"};
    r = run(f, &call, 0, BYTES_NONE, &b, err);
    if (r == 0 && b.size > max)
        r = -EFBIG;
    if (r == -EFBIG)
        return error_set(err, EFBIG, "%s: %s: larger than the limit of %zu bytes", f->fs.d->name,
                         name + 2, max);
    if (r < 0)
        return r;
    if (buffer_append(&b, "", 1) < 0)
        return error_set(err, ENOMEM, "%s: %s: out of memory", f->fs.d->name, name + 2);
    b.size--;
    b.max = 0;
    *ret = b;
    b = (struct buffer){0};
    return 0;
}

static int fat_read_file(struct filesystem *fs, const char *path, size_t max, struct buffer *ret,
                         struct error *err)
{
    struct fat *f = (struct fat *)fs;
    int r = check_path(f, path, err);
    if (r < 0)
        return r;
    _free_ char *name = inside(path);
    return name ? read_inside(f, name, max, ret, err) : error_set(err, ENOMEM, "out of memory");
}

static bool fat_exists(struct filesystem *fs, const char *path)
{
    struct fat *f = (struct fat *)fs;
    _free_ char *name = inside(path);
    _buffer_ struct buffer lines = {0};
    return name && check_path(f, path, NULL) == 0 && list_lines(f, name, &lines, NULL) == 0;
}

static int take_names(struct names *names, char *lines)
{
    char *rest = NULL;
    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        size_t n = strlen(line);
        if (line[n - 1] == '/')
            line[n - 1] = '\0';
        const char *slash = strrchr(line, '/');
        const char *last = slash ? slash + 1 : line;
        int r = *last ? names_add(names, last, strlen(last)) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

static int fat_list(struct filesystem *fs, const char *path, char ***ret, struct error *err)
{
    struct fat *f = (struct fat *)fs;
    int r = check_path(f, path, err);
    if (r < 0)
        return r;
    _free_ char *name = inside(path);
    _buffer_ struct buffer lines = {0};
    _names_ struct names names = {0};
    if (!name)
        return error_set(err, ENOMEM, "out of memory");
    if (find_file(f, name, NULL) == 0)
        return error_errno(err, ENOTDIR, "%s: %s", fs->d->name, path);
    r = list_lines(f, name, &lines, err);
    if (r < 0)
        return r;
    r = take_names(&names, (char *)lines.data);
    if (r == 0 && !names.list && !(names.list = calloc(1, sizeof(*names.list))))
        r = -ENOMEM;
    if (r < 0)
        return error_errno(err, -r, "%s: %s: listing it", fs->d->name, path);
    names_sort(&names);
    *ret = TAKE_PTR(names.list);
    return 0;
}

/* ---- writing ---- */
/* mdir's last line: "   41 836 544 bytes free". */
static int free_bytes(struct fat *f, uint64_t *ret, struct error *err)
{
    _buffer_ struct buffer text = {.max = OUTPUT_MAX};
    const struct call call = {.program = "mdir", .option = "-a", .source = "::/"};
    int r = run(f, &call, 0, BYTES_NONE, &text, err);
    if (r == 0 && buffer_append(&text, "", 1) < 0)
        r = error_set(err, ENOMEM, "out of memory");
    if (r < 0)
        return r;
    char *end = strstr((char *)text.data, " bytes free");
    if (!end)
        return error_set(err, EIO, "%s: mdir did not say what is free", f->fs.d->name);
    *end = '\0';
    const char *line = strrchr((char *)text.data, '\n');
    uint64_t sum = 0;
    for (const char *c = line ? line : (char *)text.data; *c; c++)
        if (*c >= '0' && *c <= '9')
            sum = sum * 10 + (uint64_t)(*c - '0');
    *ret = sum;
    return 0;
}

/* mcopy fills a full disk as far as it goes and exits with 0. */
static int check_space(struct fat *f, const char *path, size_t size, size_t old_size,
                       struct error *err)
{
    const uint64_t cluster = f->fs.block_size;
    uint64_t available = 0;
    int r = free_bytes(f, &available, err);
    if (r < 0)
        return r;
    available += (old_size + cluster - 1) / cluster * cluster;
    uint64_t needed = ((size + cluster - 1) / cluster + 1) * cluster; /* the folder may grow */
    if (needed <= available)
        return 0;
    return error_set(err, ENOSPC,
                     "%s: %s: no space left: needs %" PRIu64 " bytes, %" PRIu64 " are free",
                     f->fs.d->name, path, needed, available);
}

static int expect_content(struct fat *f, const char *name, struct bytes content, struct error *err)
{
    _buffer_ struct buffer found = {0};
    int r = read_inside(f, name, content.size, &found, err);
    if (r == -EFBIG || (r == 0 && !bytes_equal(buffer_bytes(&found), content)))
        return error_set(err, EIO, "%s: %s: did not get the content that was written",
                         f->fs.d->name, name + 2);
    return r;
}

static int fat_write_file(struct filesystem *fs, const char *path, struct bytes content,
                          int64_t mtime, struct error *err)
{
    struct fat *f = (struct fat *)fs;
    int r = check_path(f, path, err);
    if (r < 0)
        return r;
    _free_ char *name = inside(path);
    _buffer_ struct buffer old = {0};
    if (!name)
        return error_set(err, ENOMEM, "out of memory");
    r = read_inside(f, name, OLD_FILE_MAX, &old, err);
    if (r < 0 && r != -ENOENT)
        return r;
    r = check_space(f, path, content.size, old.size, err);
    if (r < 0)
        return r;
    const struct call call = {.program = "mcopy", .option = "-o", .source = "-", .target = name};
    r = run(f, &call, mtime, content, NULL, err);
    return r < 0 ? r : expect_content(f, name, content, err);
}

struct write_back {
    struct fat *f;
    uint8_t *ours, *theirs;
    struct error *err;
};

/* A hole in the copy was one from the start: mtools does not punch holes. */
static int write_changes(void *arg, uint64_t at, uint64_t length, bool hole)
{
    struct write_back *w = arg;
    for (uint64_t end = at + length; !hole && at < end;) {
        size_t n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
        int r = blockdev_read(w->f->copy, w->ours, n, at, w->err);
        if (r == 0)
            r = blockdev_read(w->f->fs.d, w->theirs, n, at, w->err);
        if (r == 0 && memcmp(w->ours, w->theirs, n) != 0)
            r = blockdev_write(w->f->fs.d, w->ours, n, at, w->err);
        if (r < 0)
            return r;
        at += n;
    }
    return 0;
}

static int fat_flush(struct filesystem *fs, struct error *err)
{
    struct fat *f = (struct fat *)fs;
    _free_ uint8_t *space = malloc(2 * CHUNK);
    if (!space)
        return error_set(err, ENOMEM, "%s: out of memory", fs->d->name);
    struct write_back w = {.f = f, .ours = space, .theirs = space + CHUNK, .err = err};
    return blockdev_extents(f->copy, 0, f->copy->size, write_changes, &w, err);
}

/* ---- opening ---- */
static int unnamed_file(void)
{
    const char *const folders[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        int fd = folders[i] ? open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
        if (fd >= 0)
            return fd;
    }
    return memfd_create("fat", MFD_CLOEXEC);
}

static int make_copy(struct fat *f, struct blockdev *d, struct error *err)
{
    f->fd = unnamed_file();
    if (f->fd < 0)
        return error_errno(err, errno, "%s: a temporary file", d->name);
    snprintf(f->image, sizeof(f->image), "/proc/self/fd/%d", f->fd);
    int r = blockdev_create(&f->copy, f->fd, d->name, IMAGE_RAW, d->size, err);
    return r < 0 ? r : copy_range(d, f->copy, 0, 0, d->size, NULL, err);
}

/* A cluster, by the BIOS parameter block (FAT specification, 3.1). */
static int read_cluster_size(struct fat *f, struct error *err)
{
    uint8_t boot[512];
    int r = blockdev_read(f->copy, boot, sizeof(boot), 0, err);
    f->fs.block_size = (uint32_t)(boot[11] | boot[12] << 8) * boot[13];
    if (r == 0 && f->fs.block_size == 0)
        return error_set(err, EBADMSG, "%s: FAT with clusters of no size", f->fs.d->name);
    return r;
}

static void fat_free(struct filesystem *fs)
{
    struct fat *f = (struct fat *)fs;
    blockdev_close(f->copy);
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

static const struct filesystem_ops fat_ops = {.read_file = fat_read_file,
                                              .exists = fat_exists,
                                              .list = fat_list,
                                              .write_file = fat_write_file,
                                              .flush = fat_flush,
                                              .free = fat_free};

int fat_open(struct filesystem **ret, struct blockdev *d, bool writable, struct error *err)
{
    struct fat *f = calloc(1, sizeof(*f));
    if (!f)
        return error_set(err, ENOMEM, "%s: out of memory", d->name);
    f->fd = -1;
    f->fs = (struct filesystem){
        .ops = &fat_ops, .d = d, .type = FS_FAT, .writable = writable, .size = d->size};
    _filesystem_ struct filesystem *fs = &f->fs;
    int r = make_copy(f, d, err);
    if (r == 0)
        r = read_cluster_size(f, err);
    if (r == 0)
        *ret = TAKE_PTR(fs);
    return r;
}
