#include "tmm/arguments.h"

#include <errno.h>
#include <string.h>

#define HOST(n)                                                                                    \
    {                                                                                              \
        .name = n, .class = OPTION_HOST                                                            \
    }
#define HOST_FLAG(n)                                                                               \
    {                                                                                              \
        .name = n, .class = OPTION_HOST, .flag = true                                              \
    }
#define MACHINE_FLAG(n)                                                                            \
    {                                                                                              \
        .name = n, .class = OPTION_MACHINE, .flag = true                                           \
    }
#define REFUSED(n, why)                                                                            \
    {                                                                                              \
        .name = n, .class = OPTION_REFUSED, .reason = why                                          \
    }
#define REFUSED_FLAG(n, why)                                                                       \
    {                                                                                              \
        .name = n, .class = OPTION_REFUSED, .flag = true, .reason = why                            \
    }

static const struct option options[] = {
    /* The machine. (-m, -cpu, -smp, -global, … need no line: value and all is the default.) */
    {.name = "machine", .class = OPTION_MACHINE_KEYS},
    {.name = "M", .class = OPTION_MACHINE_KEYS},
    {.name = "device", .class = OPTION_MACHINE_KEYS},
    {.name = "drive", .class = OPTION_DRIVE},
    {.name = "nic", .class = OPTION_NIC},
    {.name = "net", .class = OPTION_NIC},
    {.name = "hda", .class = OPTION_NAME_ONLY},
    {.name = "hdb", .class = OPTION_NAME_ONLY},
    {.name = "hdc", .class = OPTION_NAME_ONLY},
    {.name = "hdd", .class = OPTION_NAME_ONLY},
    {.name = "cdrom", .class = OPTION_NAME_ONLY},
    MACHINE_FLAG("nodefaults"),
    MACHINE_FLAG("no-acpi"),
    MACHINE_FLAG("no-hpet"),
    MACHINE_FLAG("usb"),
    MACHINE_FLAG("win2k-hack"),
    MACHINE_FLAG("no-fd-bootchk"),
    /* The host's side. */
    HOST("accel"),
    HOST("action"),
    HOST("add-fd"),
    HOST("audio"),
    HOST("audiodev"),
    HOST("blockdev"),
    HOST("chardev"),
    HOST("D"),
    HOST("d"),
    HOST("dfilter"),
    HOST("display"),
    HOST("echr"),
    HOST("gdb"),
    HOST("k"),
    HOST("mem-path"),
    HOST("mon"),
    HOST("monitor"),
    HOST("msg"),
    HOST("name"),
    HOST("netdev"),
    HOST("object"),
    HOST("overcommit"),
    HOST("parallel"),
    HOST("pidfile"),
    HOST("qmp"),
    HOST("qmp-pretty"),
    HOST("rtc"),
    HOST("run-with"),
    HOST("runas"),
    HOST("sandbox"),
    HOST("seed"),
    HOST("serial"),
    HOST("spice"),
    HOST("trace"),
    HOST("vnc"),
    HOST_FLAG("async-teardown"),
    HOST_FLAG("enable-kvm"),
    HOST_FLAG("full-screen"),
    HOST_FLAG("mem-prealloc"),
    HOST_FLAG("no-reboot"),
    HOST_FLAG("no-shutdown"),
    HOST_FLAG("no-user-config"),
    HOST_FLAG("nographic"),
    HOST_FLAG("only-migratable"),
    HOST_FLAG("portrait"),
    HOST_FLAG("S"),
    HOST_FLAG("s"),
    HOST_FLAG("singlestep"),
    HOST_FLAG("snapshot"),
    /* What would run unmeasured code, or leave our hands. */
    REFUSED("tpmdev", "the guest's TPM is added by encroot-tmm, which must see what it is told"),
    REFUSED("incoming", "a machine that comes with its state was not started from its firmware"),
    REFUSED("loadvm", "a machine that comes with its state was not started from its firmware"),
    REFUSED("readconfig", "it describes the machine in a file that is not measured"),
    REFUSED("acpitable", "the file is not measured"),
    REFUSED("option-rom", "the file is not measured"),
    REFUSED("dtb", "the file is not measured"),
    REFUSED("shim", "the file is not measured"),
    REFUSED("pflash", "firmware must be given as -drive if=pflash,format=raw,readonly=on,file=…"),
    REFUSED("set", "write the property in the option that it belongs to"),
    REFUSED_FLAG("daemonize", "encroot-tmm ends when QEMU does"),
    REFUSED_FLAG("preconfig", "the machine could still be changed"),
    REFUSED_FLAG("help", "nothing would be started"),
    REFUSED_FLAG("h", "nothing would be started"),
    REFUSED_FLAG("version", "nothing would be started"),
};

const struct option *option_find(const char *argument)
{
    static const struct option unknown = {.name = "", .class = OPTION_MACHINE};

    argument += strspn(argument, "-");
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (strcmp(options[i].name, argument) == 0)
            return &options[i];
    return &unknown;
}

/* One member of a list; the end of it is at a comma that is not doubled, or at the NUL. */
struct member {
    const char *start;
    size_t size;
    size_t key_size; /* 0: a bare word */
};

static bool next_member(const char **at, struct member *ret)
{
    const char *p = *at;

    if (!*p)
        return false;
    *ret = (struct member){.start = p};
    for (; *p && (*p != ',' || p[1] == ','); p++) {
        if (*p == ',')
            p++;
        else if (*p == '=' && ret->key_size == 0)
            ret->key_size = (size_t)(p - ret->start);
    }
    ret->size = (size_t)(p - ret->start);
    *at = *p ? p + 1 : p;
    return true;
}

static bool member_is(const struct member *m, const char *key)
{
    size_t size = m->key_size ? m->key_size : m->size;

    return strlen(key) == size && memcmp(m->start, key, size) == 0;
}

static char *undouble_commas(const char *p, size_t size)
{
    char *out = malloc(size + 1);
    size_t n = 0;

    if (!out)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        out[n++] = p[i];
        if (p[i] == ',' && i + 1 < size && p[i + 1] == ',')
            i++;
    }
    out[n] = '\0';
    return out;
}

char *option_value(const char *list, const char *key)
{
    struct member m;
    const char *at = list;

    for (bool first = true; next_member(&at, &m); first = false) {
        if (!key && first && m.key_size == 0)
            return undouble_commas(m.start, m.size);
        if (key && m.key_size && member_is(&m, key))
            return undouble_commas(m.start + m.key_size + 1, m.size - m.key_size - 1);
    }
    return NULL;
}

static int append_member(struct buffer *out, bool *first, const char *p, size_t size)
{
    int r = *first ? 0 : buffer_append(out, ",", 1);

    *first = false;
    return r < 0 ? r : buffer_append(out, p, size);
}

char *option_replace(const char *list, const char *key, const char *value)
{
    _buffer_ struct buffer out = {0};
    struct member m;
    const char *at = list;
    bool first = true;
    int r = 0;

    while (r == 0 && next_member(&at, &m)) {
        if (!m.key_size || !member_is(&m, key)) {
            r = append_member(&out, &first, m.start, m.size);
            continue;
        }
        r = append_member(&out, &first, m.start, m.key_size + 1);
        if (r == 0)
            r = buffer_append(&out, value, strlen(value));
    }
    if (r < 0 || buffer_append(&out, "", 1) < 0)
        return NULL;
    return (char *)TAKE_PTR(out.data);
}

int option_filter(const char *list, const char *const keys[], bool only, struct buffer *out)
{
    struct member m;
    const char *at = list;
    bool first = true;
    int r = 0;

    while (r == 0 && next_member(&at, &m)) {
        bool listed = false;
        for (size_t i = 0; keys[i]; i++)
            listed |= member_is(&m, keys[i]);
        if (listed == only)
            r = append_member(out, &first, m.start, m.size);
    }
    return r;
}
