#include "measure/qemu_device_tree.h"

#include "base/io.h"
#include "base/spawn_bounded.h"

#include <string.h>
#include <sys/stat.h>

/* A folder for one file. */
struct folder {
    char *path;
    char *file;
};

static void folder_remove(struct folder *f)
{
    if (f->file)
        unlink(f->file);
    if (f->path)
        rmdir(f->path);
    free(f->path);
    free(f->file);
}

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

static int folder_make(struct folder *f, struct error *err)
{
    const char *tmp = getenv("TMPDIR");
    _free_ char *path = NULL;
    if (asprintf(&path, "%s/encroot-rim.XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0) {
        path = NULL;
        return no_memory(err);
    }
    if (!mkdtemp(path))
        return error_errno(err, errno, "%s: making a temporary folder", path);
    f->path = TAKE_PTR(path);
    if (asprintf(&f->file, "%s/dtb", f->path) < 0) {
        f->file = NULL;
        return no_memory(err);
    }
    return 0;
}

/* "dumpdtb=FILE", with the commas of FILE doubled as QEMU's lists want it. */
static int dump_option(struct buffer *ret, const char *file)
{
    int r = buffer_append(ret, "dumpdtb=", 8);
    for (; r == 0 && *file; file++)
        r = buffer_append(ret, *file == ',' ? ",," : file, *file == ',' ? 2 : 1);
    return r < 0 ? r : buffer_append(ret, "", 1);
}

/* How many of argv[0], argv[1] are an option that would let QEMU out of our hands. */
static size_t runs_away(char *const argv[])
{
    static const struct {
        const char *name;
        size_t words;
    } options[] = {{"daemonize", 1}, {"pidfile", 2}};
    const char *name = argv[0][0] == '-' ? argv[0] + (argv[0][1] == '-' ? 2 : 1) : "";
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (strcmp(name, options[i].name) == 0)
            return argv[1] ? options[i].words : 1;
    return 0;
}

/* The strings are borrowed; the array is the caller's. */
static char **dump_command(char *const argv[], char *dump)
{
    size_t n = 0, count = 0;
    while (argv[count])
        count++;
    char **all = calloc(count + 4, sizeof(*all));
    if (!all)
        return NULL;
    for (size_t i = 0; i < count;) {
        size_t skip = i > 0 ? runs_away(argv + i) : 0;
        if (skip == 0)
            all[n++] = argv[i];
        i += skip ? skip : 1;
    }
    all[n++] = (char *)"-S";
    all[n++] = (char *)"-machine";
    all[n++] = dump;
    return all;
}

/* Lines become one, so that an error can hold them. */
static const char *one_line(char said[SPAWN_SAID_MAX])
{
    size_t n = strlen(said);
    while (n > 0 && strchr("\r\n ", said[n - 1]))
        said[--n] = '\0';
    for (char *p = said; (p = strpbrk(p, "\r\n")); p++)
        *p = ';';
    return n ? said : "it said nothing";
}

static int explain(int r, const char *qemu, char said[SPAWN_SAID_MAX], struct error *err)
{
    if (r == -ENOENT)
        return error_hint(err, r, "-- is followed by the QEMU that starts the guest");
    if (r == -ETIMEDOUT)
        return error_hint(err, error_prefix(err, r, "%s", one_line(said)),
                          "expected it to write its device tree and end: a machine without one "
                          "(x86) has no RIM; --timeout SECONDS gives it more time");
    if (r < 0)
        return r;
    error_set(err, EIO, "%s: exit status %d: %s", qemu, r, one_line(said));
    return error_hint(err, -EIO,
                      "this QEMU must take the command line here and now: virtCCA's own options "
                      "(kvm-type, tmm-guest) need virtCCA's QEMU on a host with a TMM, and disks "
                      "must not be in use by a running guest");
}

static int check_written(const char *qemu, const char *file, char said[SPAWN_SAID_MAX],
                         struct error *err)
{
    struct stat st;
    if (stat(file, &st) == 0 && st.st_size > 0)
        return 0;
    error_set(err, ENODATA, "%s: ended without writing a device tree: %s", qemu, one_line(said));
    return error_hint(err, -ENODATA,
                      "expected the command line that starts the guest, with a -machine that has "
                      "a device tree (virt)");
}

static int dump(struct buffer *ret, const struct folder *f, char *const argv[], unsigned seconds,
                struct error *err)
{
    char said[SPAWN_SAID_MAX];
    _buffer_ struct buffer option = {0};
    if (dump_option(&option, f->file) < 0)
        return no_memory(err);
    _free_ char **command = dump_command(argv, (char *)option.data);
    if (!command)
        return no_memory(err);
    int r = spawn_bounded(command, seconds, said, err);
    if (r != 0)
        return explain(r, argv[0], said, err);
    r = check_written(argv[0], f->file, said, err);
    if (r == 0)
        r = read_file(f->file, DEVICE_TREE_MAX, ret, err);
    unlink(f->file);
    return r;
}

int qemu_device_tree(struct buffer *ret, char *const argv[], unsigned seconds, struct error *err)
{
    _cleanup_(folder_remove) struct folder f = {0};
    _buffer_ struct buffer first = {0};
    _buffer_ struct buffer second = {0};
    int r = folder_make(&f, err);
    if (r == 0)
        r = dump(&first, &f, argv, seconds, err);
    if (r == 0)
        r = dump(&second, &f, argv, seconds, err);
    if (r < 0)
        return r;
    if (!bytes_equal(buffer_bytes(&first), buffer_bytes(&second)))
        return error_hint(err,
                          error_set(err, EINVAL,
                                    "%s: its device tree is another one at each start, so that no "
                                    "RIM can be predicted",
                                    argv[0]),
                          "take the random seeds out of it, here and where the guest is started: "
                          "-machine dtb-randomness=off (before QEMU 7.1: dtb-kaslr-seed=off)");
    *ret = first;
    first = (struct buffer){0};
    return 0;
}
