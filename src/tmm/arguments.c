#include "tmm/arguments.h"

#include "base/cleanup.h"

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
