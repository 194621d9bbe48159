#include "tmm/machine.h"

#include "base/io.h"
#include "measure/qemu_options.h"
#include "tmm/arguments.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define LINES_MAX MACHINE_ARGS_MAX

/* Members that name a back end or tell nothing of the machine. */
static const char *const dropped_keys[] = {
    "accel", "id",      "drive",          "chardev",         "netdev",    "mac",      "serial",
    "rng",   "pflash1", "memory-backend", "dump-guest-core", "mem-merge", "iothread", "audiodev",
    "fsdev", NULL,
};
static const char *const drive_keys[] = {"if", "media", "bus", "unit", "index", NULL};
static const char *const nic_keys[] = {"model", NULL};
/* Files that a -machine could name past us. */
static const char *const machine_file_keys[] = {"pflash0", "firmware", "kernel", "initrd",
                                                "dtb",     "shim",     NULL};

struct line {
    char *text;
    const char *name;
    size_t order;
};

/* While a command line is being taken apart. */
struct parse {
    struct machine *m;
    struct line lines[LINES_MAX];
    size_t line_count;
    unsigned pflash_units; /* bit n: unit n is taken */
    bool smp_given;
    struct error *err;
};

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "no memory");
}

int machine_add_argument(struct machine *m, const char *text)
{
    if (m->argc >= MACHINE_ARGS_MAX - 1)
        return -E2BIG;
    char **grown = reallocarray(m->argv, m->argc + 2, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    m->argv = grown;
    m->argv[m->argc] = strdup(text);
    m->argv[m->argc + 1] = NULL;
    if (!m->argv[m->argc])
        return -ENOMEM;
    m->argc++;
    return 0;
}

void machine_free(struct machine *m)
{
    for (size_t i = 0; i < m->argc; i++)
        free(m->argv[i]);
    free(m->argv);
    for (size_t i = 0; i < m->file_count; i++)
        close(m->files[i]);
    buffer_free(&m->description);
    *m = (struct machine){.firmware = -1};
}

/* One line of the description. `value` may be NULL. */
static int add_line(struct parse *p, const char *name, const char *value)
{
    _buffer_ struct buffer text = {0};

    if (p->line_count == LINES_MAX)
        return error_set(p->err, E2BIG, "too many options");
    if (value && strchr(value, '\n'))
        return error_set(p->err, EINVAL, "-%s: a value with a line break cannot be described",
                         name);
    int r = buffer_printf(&text, "%s%s%s", name, value && *value ? " " : "", value ? value : "");
    if (r < 0 || buffer_append(&text, "", 1) < 0)
        return no_memory(p->err);
    p->lines[p->line_count] =
        (struct line){.text = (char *)TAKE_PTR(text.data), .name = name, .order = p->line_count};
    p->line_count++;
    return 0;
}

static int add_filtered(struct parse *p, const char *name, const char *value,
                        const char *const keys[], bool only)
{
    _buffer_ struct buffer text = {0};

    if (option_filter(value, keys, only, &text) < 0 || buffer_append(&text, "", 1) < 0)
        return no_memory(p->err);
    return add_line(p, name, (const char *)text.data);
}

/* Take a sealed copy of `path`; `ret` becomes the name under which QEMU finds it. */
static int take_file(struct parse *p, const char *path, size_t max, char ret[32], int *ret_fd)
{
    struct machine *m = p->m;

    if (m->file_count == MACHINE_FILES_MAX)
        return error_set(p->err, EINVAL, "%s: one firmware, kernel and initramfs at most", path);
    int fd = sealed_copy(path, max, p->err);
    if (fd < 0)
        return fd;
    m->files[m->file_count++] = fd;
    snprintf(ret, 32, "/proc/self/fd/%d", fd);
    *ret_fd = fd;
    return 0;
}

static int take_firmware(struct parse *p, const char *path, char ret[32])
{
    if (p->m->firmware >= 0)
        return error_set(p->err, EINVAL, "%s: there is a firmware already", path);
    return take_file(p, path, MACHINE_FIRMWARE_MAX, ret, &p->m->firmware);
}

static int push(struct parse *p, const char *option, const char *value)
{
    int r = machine_add_argument(p->m, option);

    if (r == 0 && value)
        r = machine_add_argument(p->m, value);
    return r < 0 ? error_errno(p->err, -r, "%s", option) : 0;
}

/* ---- -drive ---- */

/* The unit of a pflash drive: as stated, else the first that is free, as QEMU counts. */
static int pflash_unit(struct parse *p, const char *value, unsigned *ret)
{
    _free_ char *stated = option_value(value, "unit");
    _free_ char *index = option_value(value, "index");
    const char *number = stated ? stated : index;
    unsigned unit = 0;

    if (number) {
        if (strspn(number, "0123456789") != strlen(number) || strlen(number) != 1)
            return error_set(p->err, EINVAL, "-drive %s: which pflash unit?", value);
        unit = (unsigned)(number[0] - '0');
    } else {
        while (p->pflash_units & (1u << unit))
            unit++;
    }
    if (unit > 9 || p->pflash_units & (1u << unit))
        return error_set(p->err, EINVAL, "-drive %s: this pflash unit is taken", value);
    p->pflash_units |= 1u << unit;
    *ret = unit;
    return 0;
}

/* The firmware: must be what it was when measured, so not written to and not a layered format. */
static int parse_firmware_drive(struct parse *p, const char *value)
{
    _free_ char *file = option_value(value, "file");
    _free_ char *format = option_value(value, "format");
    _free_ char *readonly = option_value(value, "readonly");
    char path[32];

    if (!file || !format || strcmp(format, "raw") != 0 || !readonly || strcmp(readonly, "on") != 0)
        return error_set(p->err, EINVAL,
                         "-drive %s: the firmware must be given as "
                         "if=pflash,unit=0,format=raw,readonly=on,file=…",
                         value);
    int r = take_firmware(p, file, path);
    if (r < 0)
        return r;
    _free_ char *replaced = option_replace(value, "file", path);
    return replaced ? push(p, "-drive", replaced) : no_memory(p->err);
}

static int parse_drive(struct parse *p, const char *value)
{
    _free_ char *interface = option_value(value, "if");
    unsigned unit = 0;

    if (interface && strcmp(interface, "none") == 0)
        return push(p, "-drive", value);
    int r = add_filtered(p, "drive", value, drive_keys, true);
    if (r < 0 || !interface || strcmp(interface, "pflash") != 0)
        return r < 0 ? r : push(p, "-drive", value);
    r = pflash_unit(p, value, &unit);
    if (r < 0)
        return r;
    return unit == 0 ? parse_firmware_drive(p, value) : push(p, "-drive", value);
}

/* ---- other options with a meaning of their own ---- */

static int parse_bios(struct parse *p, const char *value)
{
    char path[32];
    int r = take_firmware(p, value, path);

    if (r == 0)
        r = add_line(p, "bios", NULL);
    return r < 0 ? r : push(p, "-bios", path);
}

static int sealed_digest(int fd, struct digest *ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size == 0)
        return digest_compute(ret, HASH_SHA256, BYTES_NONE);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    int r = digest_compute(ret, HASH_SHA256, BYTES(map, (size_t)st.st_size));
    munmap(map, (size_t)st.st_size);
    return r;
}

static int parse_blob(struct parse *p, const char *option, const char *value)
{
    char path[32], hex[DIGEST_HEX_SIZE];
    struct digest d;
    int fd;
    int r = take_file(p, value, MACHINE_FILE_MAX, path, &fd);

    if (r < 0)
        return r;
    r = sealed_digest(fd, &d);
    if (r < 0)
        return error_errno(p->err, -r, "%s: cannot measure", value);
    digest_hex(&d, hex);
    r = add_line(p, option + 1, hex);
    return r < 0 ? r : push(p, option, path);
}

static int parse_kernel(struct parse *p, const char *value)
{
    return parse_blob(p, "-kernel", value);
}

static int parse_initrd(struct parse *p, const char *value)
{
    return parse_blob(p, "-initrd", value);
}

static int parse_smp(struct parse *p, const char *value)
{
    if (p->smp_given)
        return error_set(p->err, EINVAL, "-smp %s: given twice", value);
    p->smp_given = true;
    int r = vcpus_parse(value, &p->m->vcpus, p->err);
    if (r == 0)
        r = add_line(p, "smp", value);
    return r < 0 ? r : push(p, "-smp", value);
}

static const struct special {
    const char *name;
    int (*parse)(struct parse *p, const char *value);
} specials[] = {
    {"bios", parse_bios},
    {"kernel", parse_kernel},
    {"initrd", parse_initrd},
    {"smp", parse_smp},
};

/* ---- the rest, by class ---- */

static int refuse_files(struct parse *p, const char *argument, const char *value)
{
    static const char *const always[] = {"file", NULL};
    const char *name = argument + strspn(argument, "-");
    bool machine = strcmp(name, "machine") == 0 || strcmp(name, "M") == 0;
    const char *const *keys = machine ? machine_file_keys : always;

    for (; *keys; keys++) {
        _free_ char *found = option_value(value, *keys);
        if (found)
            return error_set(p->err, EINVAL, "%s %s: the file of %s= is not measured", argument,
                             value, *keys);
    }
    return 0;
}

static int check_device(struct parse *p, const char *value)
{
    _free_ char *driver = option_value(value, "driver");
    _free_ char *bare = option_value(value, NULL);
    const char *name = driver ? driver : bare ? bare : "";

    if (*value == '{')
        return error_set(p->err, EINVAL, "-device %s: write it as DRIVER,key=value", value);
    if (strcmp(name, "loader") == 0 || strcmp(name, "guest-loader") == 0)
        return error_set(p->err, EINVAL, "-device %s: what it loads is not measured", value);
    if (strncmp(name, "tpm-", 4) == 0)
        return error_set(p->err, EINVAL, "-device %s: encroot-tmm adds the TPM itself", value);
    return 0;
}

static int parse_nic(struct parse *p, const char *name, const char *value)
{
    _free_ char *kind = option_value(value, NULL);

    if (kind && strcmp(kind, "none") == 0)
        return add_line(p, name, "none");
    return add_filtered(p, name, value, nic_keys, true);
}

static int describe(struct parse *p, const struct option *o, const char *argument,
                    const char *value)
{
    const char *name = argument + strspn(argument, "-");

    switch (o->class) {
    case OPTION_REFUSED:
        return error_set(p->err, EINVAL, "%s is not possible here: %s", argument, o->reason);
    case OPTION_HOST:
        return 0;
    case OPTION_NAME_ONLY:
        return add_line(p, name, NULL);
    case OPTION_NIC:
        return parse_nic(p, name, value);
    case OPTION_MACHINE_KEYS: {
        bool device = strcmp(name, "device") == 0;
        int r = device ? check_device(p, value) : 0;
        if (r == 0)
            r = refuse_files(p, argument, value);
        return r < 0 ? r
                     : add_filtered(p, device ? "device" : "machine", value, dropped_keys, false);
    }
    case OPTION_DRIVE:
    case OPTION_MACHINE:
        break;
    }
    int r = value ? refuse_files(p, argument, value) : 0;
    return r < 0 ? r : add_line(p, name, value);
}

static int parse_option(struct parse *p, const struct option *o, const char *argument,
                        const char *value)
{
    const char *name = argument + strspn(argument, "-");

    for (size_t i = 0; i < ARRAY_SIZE(specials); i++)
        if (strcmp(specials[i].name, name) == 0)
            return specials[i].parse(p, value);
    if (o->class == OPTION_DRIVE)
        return parse_drive(p, value);
    int r = describe(p, o, argument, value);
    return r < 0 ? r : push(p, argument, value);
}

static int parse_all(struct parse *p, char *const argv[])
{
    int r = push(p, argv[0], NULL);

    for (size_t i = 1; r == 0 && argv[i]; i++) {
        const struct option *o = option_find(argv[i]);
        const char *argument = argv[i];

        if (argument[0] != '-' || argument[1] == '\0')
            return error_set(p->err, EINVAL, "%s: a disk must be given with -drive", argument);
        if (!o->flag && o->class != OPTION_REFUSED && !argv[++i])
            return error_set(p->err, EINVAL, "%s: its value is missing", argument);
        r = parse_option(p, o, argument, o->flag ? NULL : argv[i]);
    }
    return r;
}

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    return r ? r : x->order < y->order ? -1 : x->order > y->order;
}

static int write_description(struct parse *p)
{
    struct buffer *out = &p->m->description;
    int r = buffer_printf(out, "encroot machine description 1\ntpm %s\nport virtio-serial\n",
                          p->m->tpm_device);

    qsort(p->lines, p->line_count, sizeof(p->lines[0]), compare_lines);
    for (size_t i = 0; r == 0 && i < p->line_count; i++)
        r = buffer_printf(out, "%s\n", p->lines[i].text);
    return r < 0 ? no_memory(p->err) : 0;
}

static const char *tpm_device_of(const char *qemu)
{
    return strstr(qemu, "x86_64") || strstr(qemu, "i386") ? "tpm-crb" : "tpm-tis-device";
}

int machine_parse(struct machine *ret, char *const argv[], struct error *err)
{
    _machine_ struct machine m = {.firmware = -1, .vcpus = 1};
    _free_ struct parse *p = calloc(1, sizeof(*p));

    if (!p)
        return no_memory(err);
    p->m = &m;
    p->err = err;
    m.tpm_device = tpm_device_of(argv[0]);
    int r = parse_all(p, argv);
    if (r == 0 && m.firmware < 0)
        r = error_set(err, EINVAL,
                      "no firmware: give -drive if=pflash,unit=0,format=raw,"
                      "readonly=on,file=FIRMWARE or -bios FIRMWARE");
    if (r == 0)
        r = write_description(p);
    for (size_t i = 0; i < p->line_count; i++)
        free(p->lines[i].text);
    if (r < 0)
        return r;
    *ret = m;
    m = (struct machine){.firmware = -1};
    return 0;
}
