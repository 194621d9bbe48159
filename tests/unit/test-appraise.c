/* A boot is what was measured (registers) and what its log says. Attacks change one of the two, or
 * both. Names E… are those of the attacks in SECURITY.md. */
#include "unit.h"
#include "appraise/cmdline.h"
#include "appraise/stages.h"
#include "base/io.h"
#include "boot_log.h"
#include "lenient_policy.h"

/* ---- running ---- */

/* `real` happened on a machine that measures with `alg`, `told` is the log. */
static void run_in(enum hash_alg alg, const struct boot *real, const struct boot *told,
                   enum event_log_format format, const struct reference *ref, struct findings *f)
{
    struct platform_claims claims;
    _buffer_ struct buffer text = {0};
    _event_log_ struct event_log log = {0};
    measure_in(real, alg, &claims);
    write_log_in(told, alg, format, &text);
    if (appraise_log(&log, buffer_bytes(&text), format, &claims, f))
        appraise_boot(&log, format, &claims, &ref->values, &waive_all, f);
}

static void run(const struct boot *real, const struct boot *told, enum event_log_format format,
                const struct reference *ref, struct findings *f)
{
    run_in(HASH_SHA256, real, told, format, ref, f);
}

static const enum event_log_format formats[] = {EVENT_LOG_TCG2, EVENT_LOG_CCEL};

static void print_findings(const struct findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        fprintf(stderr, "%s %s: expected %s, found %s\n", verdict_name(f->list[i].verdict),
                f->list[i].check, f->list[i].expected ? f->list[i].expected : "-",
                f->list[i].found ? f->list[i].found : "-");
}

static const struct finding *find(const struct findings *f, const char *check, enum verdict v)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].verdict == v && strcmp(f->list[i].check, check) == 0)
            return &f->list[i];
    return NULL;
}

/* Rejected in both forms of log, and the rejection has this name. */
static void assert_rejects_told(const struct boot *real, const struct boot *told,
                                const struct reference *ref, const char *check)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        _findings_ struct findings f = {0};
        run(real, told, formats[i], ref, &f);
        if (!find(&f, check, VERDICT_REJECT)) {
            print_findings(&f);
            fail_msg("no rejection named %s", check);
        }
        assert_false(findings_pass(&f));
    }
}

static void assert_rejects(const struct boot *b, const struct reference *ref, const char *check)
{
    assert_rejects_told(b, b, ref, check);
}

static void assert_passes(const struct boot *b, const struct reference *ref)
{
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        _findings_ struct findings f = {0};
        run(b, b, formats[i], ref, &f);
        if (!findings_pass(&f)) {
            print_findings(&f);
            fail_msg("a good boot was rejected");
        }
    }
}

/* ---- good boots ---- */

static void good_boot_passes(void **state)
{
    (void)state;
    struct reference ref;
    make_reference(&ref);
    assert_passes(&good, &ref);

    _findings_ struct findings f = {0};
    run(&good, &good, EVENT_LOG_TCG2, &ref, &f);
    static const char *const passed[] = {"log.replay.rem0", "log.replay.rem1", "log.replay.rem2",
                                         "log.replay.rem3", "boot.shim",       "boot.grub",
                                         "boot.grub.cfg",   "boot.kernel",     "boot.pe",
                                         "boot.cmdline",    "boot.initramfs"};
    for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
        assert_non_null(find(&f, passed[i], VERDICT_PASS));
    assert_non_null(find(&f, "waived.grub-command", VERDICT_WAIVED));
}

static void other_entry_and_decompressed_kernel_pass(void **state)
{
    (void)state;
    struct reference ref;
    struct boot b = good;
    make_reference(&ref);
    b.records[AT_KERNEL] =
        (struct record){9, EV_IPL, "kernel-2-decompressed", 0, TEXT("(hd0,gpt2)/vmlinuz-2")};
    b.records[AT_KERNEL_PE].content = b.records[AT_KERNEL_PE_AGAIN].content = "kernel-2-pe";
    b.records[AT_CMDLINE] = (struct record){8, EV_IPL, CMDLINE(CMDLINE_2)};
    b.records[AT_INITRAMFS] = (struct record){9, EV_IPL, "initramfs-2", 0, TEXT("/initrd-2")};
    assert_passes(&b, &ref);
    b = good;
    b.records[AT_CMDLINE] = (struct record){8, EV_IPL, CMDLINE(CMDLINE_1 " single")};
    assert_passes(&b, &ref);
}

/* No shim, no paths, one grub.cfg: what the sample's hash.json knows, with command lines. */
static void boot_without_shim_passes(void **state)
{
    (void)state;
    struct reference ref;
    struct boot b = good;
    make_reference(&ref);
    ref.values.shim = (struct digest){0};
    ref.values.grub_cfg_count = 0;
    ref.kernels[0].path = ref.kernels[0].initramfs_path = NULL;
    drop(&b, AT_STUB);
    drop(&b, AT_MOKX);
    drop(&b, AT_MOK);
    assert_rejects(&b, &ref, "boot.grub"); /* shim is a program that is no reference value */
    drop(&b, AT_SHIM);
    assert_passes(&b, &ref);
}

/* The log of a real boot: everything in it is explained, but for the option ROM of QEMU's network
 * card, a driver from the host. */
static void real_log_is_explained(void **state)
{
    (void)state;
    const char *folder = getenv("ENCROOT_SHARED_DATA");
    char path[4096];
    snprintf(path, sizeof(path), "%s%s/eventlogs/grub-secureboot.bin",
             folder ? folder : getenv("ENCROOT_SOURCE"), folder ? "" : "/../shared/data");
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "skipped: %s is not there\n", path);
        skip();
    }
    _buffer_ struct buffer text = {0};
    _event_log_ struct event_log log = {0};
    struct platform_claims claims;
    struct error e = {0};
    assert_int_equal(read_file(path, 1 << 20, &text, &e), 0);
    measure(&(struct boot){0}, &claims);
    assert_int_equal(event_log_parse(&log, buffer_bytes(&text), HASH_SHA256, &e), 0);
    assert_int_equal(event_log_replay(&log, cca_map, claims.extended, 5, &e), 0);

    char *lines[] = {(char *)"/vmlinuz-6.1.0-56-cloud-amd64 root=LABEL=root ro console=ttyS0",
                     NULL};
    struct reference_file files[] = {{(char *)"/EFI/debian/grub.cfg", log.events[43].digest},
                                     {(char *)"/grub/grub.cfg", log.events[47].digest}};
    struct reference_kernel kernel = {.version = (char *)"6.1.0-56-cloud-amd64",
                                      .kernel_file = log.events[53].digest,
                                      .kernel_pe = log.events[54].digest,
                                      .initramfs = log.events[58].digest,
                                      .path = (char *)"/vmlinuz-6.1.0-56-cloud-amd64",
                                      .initramfs_path = (char *)"/initrd.img-6.1.0-56-cloud-amd64",
                                      .cmdlines = lines};
    struct reference_values ref = {.alg = HASH_SHA256,
                                   .shim = log.events[32].digest,
                                   .grub = log.events[38].digest,
                                   .grub_cfgs = files,
                                   .grub_cfg_count = 2,
                                   .kernels = &kernel,
                                   .kernel_count = 1};
    /* The early configuration of Debian's GRUB, the stub, grub.cfg and its entry. */
    static const char *const commands[] = {
        "[ -z * -o ! -e * ]",
        "[ -e */x86_64-efi/grub.cfg ]",
        "[ -e */grub.cfg ]",
        "source */grub.cfg",
        "search --no-floppy --label boot --set=root",
        "set prefix=(*)/grub",
        "configfile */grub.cfg",
        "set timeout=0",
        "menuentry Debian { \n search --no-floppy --label boot --set=root\n linux "
        "/vmlinuz-6.1.0-56-cloud-amd64 root=LABEL=root ro console=ttyS0 \n initrd "
        "/initrd.img-6.1.0-56-cloud-amd64\n}",
        "setparams Debian",
        "linux /vmlinuz-6.1.0-56-cloud-amd64 root=LABEL=root ro console=ttyS0",
        "initrd /initrd.img-6.1.0-56-cloud-amd64",
        NULL,
    };
    ref.grub_commands = (char **)commands;
    _findings_ struct findings f = {0};
    appraise_boot(&log, EVENT_LOG_TCG2, &claims, &ref, &waive_all, &f);
    assert_string_equal(find(&f, "boot.grub.command", VERDICT_PASS)->found, "13 records");
    if (f.rejected != 1)
        print_findings(&f);
    assert_int_equal(f.rejected, 1);
    const struct finding *driver = findings_first_reject(&f);
    assert_string_equal(driver->check, "log.record");
    assert_non_null(strstr(driver->found, "record 10 at offset 7543"));
    assert_non_null(strstr(driver->found, "EV_EFI_BOOT_SERVICES_DRIVER"));
}

/* ---- each component ---- */

static void changed_components_are_rejected_by_name(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *check;
    } parts[] = {
        {AT_SHIM, "boot.shim"},          {AT_GRUB, "boot.grub"},
        {AT_STUB, "boot.grub.cfg"},      {AT_MAIN, "boot.grub.cfg"},
        {AT_KERNEL, "boot.kernel"},      {AT_KERNEL_PE, "boot.pe"},
        {AT_KERNEL_PE_AGAIN, "boot.pe"}, {AT_INITRAMFS, "boot.initramfs"},
    };
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        struct boot b = good;
        b.records[parts[i].at].content = "evil";
        assert_rejects(&b, &ref, parts[i].check);
    }
}

/* One change gives one rejection: the operator sees what differs, and not its echoes. */
static void one_change_gives_one_rejection(void **state)
{
    (void)state;
    static const size_t parts[] = {AT_STUB, AT_MAIN, AT_KERNEL, AT_INITRAMFS};
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        struct boot b = good;
        _findings_ struct findings f = {0};
        b.records[parts[i]].content = "evil";
        run(&b, &b, EVENT_LOG_TCG2, &ref, &f);
        assert_int_equal(f.rejected, 1);
        assert_non_null(findings_first_reject(&f)->remedy);
    }
}

/* E5 */
static void missing_components_are_rejected(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *check;
    } parts[] = {
        {AT_SHIM, "boot.shim"},           {AT_GRUB, "boot.grub"},     {AT_STUB, "boot.grub.cfg"},
        {AT_MAIN, "boot.grub.cfg"},       {AT_KERNEL, "boot.kernel"}, {AT_CMDLINE, "boot.cmdline"},
        {AT_INITRAMFS, "boot.initramfs"},
    };
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        struct boot b = good;
        drop(&b, parts[i].at);
        assert_rejects(&b, &ref, parts[i].check);
    }
}

/* E5: registers and log of a machine that measured nothing at all. */
static void empty_logs_are_rejected(void **state)
{
    (void)state;
    struct boot none = {0};
    struct reference ref;
    make_reference(&ref);
    static const char *const missing[] = {"boot.shim",   "boot.grub",    "boot.grub.cfg",
                                          "boot.kernel", "boot.cmdline", "boot.initramfs"};
    for (size_t i = 0; i < ARRAY_SIZE(missing); i++)
        assert_rejects(&none, &ref, missing[i]);

    struct platform_claims claims;
    struct event_log log = {0};
    _findings_ struct findings f = {0};
    measure(&none, &claims);
    assert_false(appraise_log(&log, BYTES_NONE, EVENT_LOG_CCEL, &claims, &f));
    assert_non_null(find(&f, "log.format", VERDICT_REJECT));
}

/* Whatever is cut from or added to the log alone does not replay. */
static void logs_that_differ_from_the_registers_are_rejected(void **state)
{
    (void)state;
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < good.count; i++) {
        struct boot told = good;
        if (cca_map[good.records[i].index] == 0)
            continue;
        static const char *const checks[] = {NULL, "log.replay.rem0", "log.replay.rem1",
                                             "log.replay.rem2", "log.replay.rem3"};
        const char *check = checks[cca_map[good.records[i].index]];
        drop(&told, i);
        assert_rejects_told(&good, &told, &ref, check);
        told = good;
        insert(&told, i, good.records[i]);
        assert_rejects_told(&good, &told, &ref, check);
    }
}

static void other_orders_are_rejected(void **state)
{
    (void)state;
    static const size_t files[] = {AT_STUB, AT_MAIN, AT_KERNEL, AT_CMDLINE, AT_INITRAMFS};
    static const size_t programs[] = {AT_SHIM, AT_GRUB, AT_KERNEL_PE};
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        for (size_t j = i + 1; j < ARRAY_SIZE(files); j++) {
            struct boot b = good;
            b.records[files[i]] = good.records[files[j]];
            b.records[files[j]] = good.records[files[i]];
            _findings_ struct findings f = {0};
            run(&b, &b, EVENT_LOG_TCG2, &ref, &f);
            assert_false(findings_pass(&f));
        }
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
        for (size_t j = i + 1; j < ARRAY_SIZE(programs); j++) {
            struct boot b = good;
            b.records[programs[i]] = good.records[programs[j]];
            b.records[programs[j]] = good.records[programs[i]];
            _findings_ struct findings f = {0};
            run(&b, &b, EVENT_LOG_TCG2, &ref, &f);
            assert_false(findings_pass(&f));
        }
}

static void repeated_components_are_rejected(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *check;
    } parts[] = {
        {AT_SHIM, "boot.grub"},       {AT_GRUB, "boot.pe"},        {AT_STUB, "boot.file"},
        {AT_MAIN, "boot.file"},       {AT_KERNEL, "boot.file"},    {AT_KERNEL_PE, "boot.pe"},
        {AT_CMDLINE, "boot.cmdline"}, {AT_INITRAMFS, "boot.file"}, {AT_MOK, "log.record"},
    };
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        struct boot b = good;
        insert(&b, parts[i].at, good.records[parts[i].at]);
        assert_rejects(&b, &ref, parts[i].check);
    }
}

/* Each part is genuine, but they belong to two entries. */
static void mixed_entries_are_rejected(void **state)
{
    (void)state;
    struct reference ref;
    struct boot b = good;
    make_reference(&ref);
    b.records[AT_INITRAMFS] = (struct record){9, EV_IPL, "initramfs-2", 0, TEXT("/initrd-2")};
    assert_rejects(&b, &ref, "boot.file");
    b = good;
    b.records[AT_CMDLINE] = (struct record){8, EV_IPL, CMDLINE(CMDLINE_2)};
    assert_rejects(&b, &ref, "boot.cmdline");
    b = good;
    b.records[AT_KERNEL_PE].content = b.records[AT_KERNEL_PE_AGAIN].content = "kernel-2-pe";
    assert_rejects(&b, &ref, "boot.pe");
}

/* ---- programs: E6 ---- */

static void every_program_must_be_a_reference_value(void **state)
{
    (void)state;
    static const size_t places[] = {AT_SEPARATOR_4, AT_SHIM, AT_GRUB, AT_KERNEL_PE, AT_ACTION};
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct boot b = good;
        insert(&b, places[i], (struct record){4, PE, "evil loader", 0, "\\EFI\\BOOT", 0});
        _findings_ struct findings f = {0};
        run(&b, &b, EVENT_LOG_TCG2, &ref, &f);
        assert_int_equal(f.rejected, 1);
    }
}

/* The type of a record is not measured: an evil loader may be called anything. */
static void programs_cannot_hide_under_another_type(void **state)
{
    (void)state;
    static const char evil[] = "MZ evil loader";
    static const struct record disguises[] = {
        {5, EV_EFI_GPT_EVENT, evil, 0, TEXT("EFI PART...")},
        {5, EV_EFI_GPT_EVENT, evil, 0, evil, 0},
        {4, EV_EFI_ACTION, evil, 0, ACTION, 0},
        {4, EV_EFI_ACTION, evil, 0, evil, 0},
        {4, EV_SEPARATOR, evil, 0, "\0\0\0\0", 4},
        {4, EV_SEPARATOR, evil, 0, evil, 0},
        {2, EV_EFI_BOOT_SERVICES_DRIVER, evil, 0, "", 0},
        {2, EV_EFI_RUNTIME_SERVICES_DRIVER, evil, 0, "", 0},
        {6, EV_EVENT_TAG, evil, 0, "", 0},
        {4, EV_IPL, evil, 0, TEXT("grub_cmd: set")},
        {4, EV_EFI_VARIABLE_BOOT, evil, 0, VARIABLE, 35},
        {5, EV_EFI_HANDOFF_TABLES, evil, 0, "", 0},
        {4, 0x12345678, evil, 0, "", 0},
    };
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(disguises); i++) {
        struct boot b = good;
        insert(&b, AT_SHIM, disguises[i]);
        assert_rejects(&b, &ref, "log.record");
    }
}

/* ---- command lines: E7, E13 ---- */

static const struct finding *cmdline_finding(const char *measured, struct findings *f)
{
    struct reference ref;
    struct boot b = good;
    char data[512];
    make_reference(&ref);
    snprintf(data, sizeof(data), "kernel_cmdline: %s", measured);
    b.records[AT_CMDLINE] = (struct record){8, EV_IPL, measured, 0, data, 0};
    run(&b, &b, EVENT_LOG_TCG2, &ref, f);
    assert_int_equal(f->rejected, 1);
    return find(f, "boot.cmdline", VERDICT_REJECT);
}

static void changed_command_lines_are_rejected_word_by_word(void **state)
{
    (void)state;
    static const struct {
        const char *measured;
        const char *says;
    } lines[] = {
        {CMDLINE_1 " init=/bin/sh", "added: init=/bin/sh. All"},
        {CMDLINE_1 " rd.break systemd.debug-shell", "added: rd.break systemd.debug-shell. All"},
        {"/vmlinuz-1 root=/dev/mapper/encroot quiet", "missing: ro. All"},
        {"/vmlinuz-1 root=/dev/vda2 ro quiet",
         "added: root=/dev/vda2; missing: root=/dev/mapper/encroot. All"},
        {"/vmlinuz-1 ro root=/dev/mapper/encroot quiet", "the same words in another order. All"},
        {CMDLINE_1 " ", "differs in white space only. All"},
        {CMDLINE_1 " quiet", "added: quiet. All"},
        {CMDLINE_1 " \x1b[2J", "added: \\x1b[2J. All"},
        {CMDLINE_1 " x=\"a b\"", "added: x=\"a b\". All"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        _findings_ struct findings f = {0};
        const struct finding *c = cmdline_finding(lines[i].measured, &f);
        assert_non_null(c);
        assert_string_equal(c->expected, CMDLINE_1);
        if (strncmp(c->found, lines[i].says, strlen(lines[i].says)) != 0)
            fail_msg("found: %s", c->found);
        assert_non_null(strstr(c->remedy, "encroot image measure"));
    }
}

/* E13: the text in the log is not what was measured. */
static void command_lines_are_what_was_measured(void **state)
{
    (void)state;
    struct reference ref;
    struct boot b = good;
    make_reference(&ref);
    b.records[AT_CMDLINE].content = CMDLINE_1 " init=/bin/sh";
    assert_rejects(&b, &ref, "boot.cmdline");
    b = good;
    insert(&b, AT_CMDLINE, (struct record){8, EV_IPL, "x", 0, TEXT("module_cmdline: x")});
    assert_rejects(&b, &ref, "log.record");
}

/* ---- files: E8 ---- */

static void paths_must_be_equal_and_files_known(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        struct record record;
        bool replace;
    } cases[] = {
        {AT_KERNEL, {9, EV_IPL, "kernel-1", 0, TEXT("/evil/vmlinuz-1")}, true},
        {AT_KERNEL, {9, EV_IPL, "kernel-1", 0, TEXT("(hd0)(hd1)/vmlinuz-1")}, true},
        {AT_KERNEL, {9, EV_IPL, "kernel-1", 0, "/vmlinuz-1\0\0", 12}, true},
        {AT_INITRAMFS, {9, EV_IPL, "initramfs-1", 0, TEXT("/initrd-10")}, true},
        {AT_CMDLINE, {9, EV_IPL, "evil", 0, TEXT("/vmlinuz-x")}, false},
        {AT_INITRAMFS, {9, EV_IPL, "microcode", 0, TEXT("/ucode.img")}, false},
        {AT_ACTION, {9, EV_IPL, "evil", 0, TEXT("/initrd-1")}, false},
    };
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct boot b = good;
        insert(&b, cases[i].at, cases[i].record);
        if (cases[i].replace)
            drop(&b, cases[i].at + 1);
        assert_rejects(&b, &ref, "boot.file");
    }
}

/* An evil file that GRUB read, told as something that needs no reference value. */
static void files_cannot_hide_under_another_name(void **state)
{
    (void)state;
    static const char cpio[] = "070701 evil initramfs";
    static const char printable_cpio[] = "070701000=evil";
    static const struct record disguises[] = {
        {14, EV_IPL, cpio, 0, TEXT("MokListTrusted")}, /* GRUB has run */
        {14, EV_IPL, cpio, 0, TEXT("MokEvil")},
        {8, EV_IPL, cpio, 0, "grub_cmd: 070701 evil initramfs", 0},
        {8, EV_IPL, printable_cpio, 0, "grub_cmd: 070701000=evil", 0},
        {8, EV_IPL, cpio, 0, TEXT("grub_cmd: set x=1")},
        {8, EV_IPL, "set x=1\nlinux /evil", 0, "grub_cmd: set x=1\nlinux /evil", 0},
        {8, EV_IPL, "set x\x01", 0, "grub_cmd: set x\x01", 0},
        {8, EV_IPL, CMDLINE_1 " evil", 0, "grub_cmd: " CMDLINE_1 " evil", 0},
        {8, EV_SEPARATOR, "\0\0\0\0", 4, "\0\0\0\0", 4},
        {12, EV_EVENT_TAG, cpio, 0, "", 0},
    };
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(disguises); i++) {
        struct boot b = good;
        insert(&b, AT_INITRAMFS, disguises[i]);
        assert_rejects(&b, &ref, "log.record");
    }
}

/*
 * E13: a GRUB that reads its configuration first of all, shim's records before that. What a host
 * would need for a module of its own: a configuration, the command that loads it, the module.
 */
static void files_cannot_hide_as_shims_variables(void **state)
{
    (void)state;
    static const char *const names[] = {"MokSBState", "MokDBState", "MokListTrusted", "MokPolicy"};
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct boot b = good;
        insert(&b, AT_MOKX + 1,
               (struct record){14, EV_IPL, "\1", 1, names[i], strlen(names[i]) + 1});
        assert_passes(&b, &ref);
        b.records[AT_MOKX + 1].content = "insmod (hd0,gpt1)/evil.mod";
        b.records[AT_MOKX + 1].content_size = 0;
        assert_rejects(&b, &ref, "log.record");
    }
}

/* E16, as far as this goes: commands whose effect no other record shows. */
static void dangerous_commands_are_rejected(void **state)
{
    (void)state;
    static const struct record commands[] = {
        {8, EV_IPL, COMMAND("devicetree /evil.dtb")},
        {8, EV_IPL, COMMAND("acpi /evil.aml")},
        {8, EV_IPL, COMMAND("serial mmio,80000000.l")},
        {8, EV_IPL, COMMAND("serial --port=mmio,80000000")},
        {8, EV_IPL, COMMAND("write_dword 0x1000 1")},
        {8, EV_IPL, COMMAND("chainloader /evil.efi")},
        {8, EV_IPL, COMMAND("initrd /initrd-1 /evil")},
        {8, EV_IPL, COMMAND("initrd newc:init:/evil")},
        {8, EV_IPL, COMMAND("")},
        {8, EV_IPL, COMMAND("=x")},
        /* A whole configuration file that begins like a menu entry. */
        {8, EV_IPL, COMMAND("menuentry x {}\nset a=b\nconfigfile (hd0,gpt1)/genuine.cfg")},
        {8, EV_IPL, COMMAND("menuentry x {}\nmenuentry y {}")},
        {8, EV_IPL, COMMAND("menuentry x { echo '}' ")},
        {8, EV_IPL, COMMAND("menuentry x")},
    };
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        struct boot b = good;
        insert(&b, AT_INITRAMFS, commands[i]);
        assert_rejects(&b, &ref, "log.record");
    }
    struct boot b = good;
    insert(&b, AT_LINUX, (struct record){8, EV_IPL, COMMAND("gfxpayload=keep")});
    insert(&b, AT_LINUX,
           (struct record){8, EV_IPL, COMMAND("submenu a\\} '}' \"{\" { menuentry b {\n} }")});
    assert_passes(&b, &ref);
}

/* ---- the platform's tables, told as what is waived more readily ---- */

#define TABLE_SIZE 100

/* An ACPI table whose host-chosen fields look like the lengths in a variable's data. */
static void make_table(char table[TABLE_SIZE])
{
    memset(table, 0, TABLE_SIZE);
    memcpy(table, "DSDT", 4);
    table[4] = TABLE_SIZE;
    table[24] = TABLE_SIZE - 32;
}

/* UEFI_VARIABLE_DATA of the global namespace with the table as its value. */
static size_t make_variable(char *data, const char *name, const char table[TABLE_SIZE])
{
    size_t n = strlen(name), at = 16 + 8 + 8;
    memset(data, 0, at);
    memcpy(data, GLOBAL_GUID, 16);
    data[16] = (char)n;
    data[24] = TABLE_SIZE;
    for (size_t i = 0; i < n; i++) {
        data[at++] = name[i];
        data[at++] = 0;
    }
    memcpy(data + at, table, TABLE_SIZE);
    return at + TABLE_SIZE;
}

static void tables_are_no_variables(void **state)
{
    (void)state;
    static const char *const names[] = {"BootOrder", "Boot0000", "Boot0000x", "X"};
    struct reference ref;
    char table[TABLE_SIZE], data[TABLE_SIZE + 64];
    make_reference(&ref);
    make_table(table);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct boot b = good;
        size_t n = make_variable(data, names[i], table);
        insert(&b, AT_GPT, (struct record){1, EV_EFI_VARIABLE_BOOT, table, TABLE_SIZE, data, n});
        assert_rejects(&b, &ref, "log.record");
    }
    for (uint32_t pcr = 1; pcr <= 7; pcr += 6) {
        struct boot b = good;
        uint32_t type = pcr == 1 ? EV_EFI_VARIABLE_BOOT : EV_EFI_VARIABLE_DRIVER_CONFIG;
        insert(&b, AT_GPT, (struct record){pcr, type, table, TABLE_SIZE, table, TABLE_SIZE});
        assert_rejects(&b, &ref, "log.record");
    }
    static const char option[TABLE_SIZE] = "\1\0\0\0\4\0a\0\0\0\x7f\xff\4";
    struct boot b = good; /* an honest one, whose load option is measured alone */
    size_t n = make_variable(data, "Boot0001", option);
    insert(&b, AT_GPT,
           (struct record){1, EV_EFI_VARIABLE_BOOT, data + n - TABLE_SIZE, TABLE_SIZE, data, n});
    assert_passes(&b, &ref);
}

/* ---- commands that the reference values know: E16 ---- */

static void know_commands(struct reference *ref)
{
    static const char *const commands[] = {
        "source */EFI/debian/grub.cfg",
        "menuentry Debian {\n linux " CMDLINE_1 "\n}",
        "linux " CMDLINE_1,
        "initrd /initrd-1",
        "set prefix=(*)/grub",
        "! search --file /x",
        "devicetree /evil.dtb",
        NULL,
    };
    make_reference(ref);
    ref->values.grub_commands = (char **)commands;
}

static void known_commands_pass(void **state)
{
    (void)state;
    static const struct record more[] = {
        {8, EV_IPL, COMMAND("set prefix=(hd0,gpt2)/grub")},
        {8, EV_IPL, COMMAND("! search --file /x")},
    };
    struct reference ref;
    struct boot b = good;
    know_commands(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(more); i++)
        insert(&b, AT_MENUENTRY, more[i]);
    assert_passes(&b, &ref);
    _findings_ struct findings f = {0};
    run(&b, &b, EVENT_LOG_TCG2, &ref, &f);
    assert_null(find(&f, "waived.grub-command", VERDICT_WAIVED));
    const struct finding *pass = find(&f, "boot.grub.command", VERDICT_PASS);
    assert_non_null(pass);
    assert_string_equal(pass->found, "6 records");
}

/* Harmless words, all of them: without the list each would be waived. */
static void typed_commands_are_rejected(void **state)
{
    (void)state;
    static const struct {
        struct record record;
        const char *nearest;
    } typed[] = {
        {{8, EV_IPL, COMMAND("set foo=bar")}, "of the 7 commands"},
        {{8, EV_IPL, COMMAND("search --label evil --set=root")}, "nearest: "},
        {{8, EV_IPL, COMMAND("set prefix=(hd1,gpt1) /grub")}, "nearest: set prefix=(*)/grub"},
        {{8, EV_IPL, COMMAND("set prefix=(hd1,gpt1)/grub2")}, "nearest: "},
        {{8, EV_IPL, COMMAND("source (hd0,gpt1)/EFI/debian/grub.cfg ")}, "nearest: source "},
        {{8, EV_IPL, COMMAND("initrd /initrd-2")}, "nearest: initrd /initrd-1"},
        {{8, EV_IPL, COMMAND("linux " CMDLINE_1 " single")}, "nearest: linux " CMDLINE_1},
        {{8, EV_IPL, COMMAND("menuentry Debian {\n linux " CMDLINE_1 "}")}, "nearest: menuentry"},
    };
    struct reference ref;
    know_commands(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(typed); i++) {
        struct boot b = good;
        insert(&b, AT_INITRD, typed[i].record);
        assert_rejects(&b, &ref, "boot.grub.command");
        _findings_ struct findings f = {0};
        run(&b, &b, EVENT_LOG_TCG2, &ref, &f);
        assert_int_equal(f.rejected, 1);
        const struct finding *r = findings_first_reject(&f);
        if (!strstr(r->expected, typed[i].nearest))
            fail_msg("expected: %s", r->expected);
        assert_non_null(strstr(r->found, "record 20: "));
        assert_non_null(strstr(r->remedy, "GRUB's menu"));
    }
}

/* A list does not open what commands cannot be waived for; and a text must be what was measured. */
static void the_list_does_not_open_other_doors(void **state)
{
    (void)state;
    static const struct record evil[] = {
        {8, EV_IPL, COMMAND("devicetree /evil.dtb")},
        {8, EV_IPL, "evil", 0, TEXT("grub_cmd: initrd /initrd-1")},
        {8, EV_IPL, "", 0, "grub_cmd: ", 0},
    };
    struct reference ref;
    know_commands(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(evil); i++) {
        struct boot b = good;
        insert(&b, AT_INITRD, evil[i]);
        assert_rejects(&b, &ref, "boot.grub.command");
    }
    static char *none[] = {NULL}; /* knows that there are none */
    ref.values.grub_commands = none;
    assert_rejects(&good, &ref, "boot.grub.command");
}

/* A changed configuration brings its own commands: they are not told one by one. */
static void commands_of_a_changed_configuration_are_its_echo(void **state)
{
    (void)state;
    struct reference ref;
    struct boot b = good;
    _findings_ struct findings f = {0};
    know_commands(&ref);
    b.records[AT_MAIN].content = "evil";
    insert(&b, AT_MENUENTRY, (struct record){8, EV_IPL, COMMAND("set foo=bar")});
    run(&b, &b, EVENT_LOG_TCG2, &ref, &f);
    assert_int_equal(f.rejected, 1);
    assert_string_equal(findings_first_reject(&f)->check, "boot.grub.cfg");
}

/* ---- machines that measure with another hash ---- */

static void sha384_boots_are_appraised_in_sha384(void **state)
{
    (void)state;
    static const size_t parts[] = {AT_SHIM,   AT_GRUB,      AT_STUB,    AT_MAIN,
                                   AT_KERNEL, AT_KERNEL_PE, AT_CMDLINE, AT_INITRAMFS};
    struct reference ref, other;
    make_reference(&ref);
    make_reference_in(&other, HASH_SHA384);
    ref.values.sha384 = &other.values;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        _findings_ struct findings f = {0};
        run_in(HASH_SHA384, &good, &good, formats[i], &ref, &f);
        if (!findings_pass(&f))
            print_findings(&f);
        assert_true(findings_pass(&f));
        assert_int_equal(strlen(find(&f, "log.replay.rem2", VERDICT_PASS)->found), 96);
    }
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        _findings_ struct findings f = {0};
        struct boot b = good;
        b.records[parts[i]].content = "evil";
        run_in(HASH_SHA384, &b, &b, EVENT_LOG_TCG2, &ref, &f);
        assert_false(findings_pass(&f));
    }
    assert_passes(&good, &ref); /* and SHA-256 as ever */
}

static void values_in_another_hash_are_told(void **state)
{
    (void)state;
    static const enum hash_alg algs[] = {HASH_SHA384, HASH_SHA512};
    struct reference ref, other;
    make_reference_in(&other, HASH_SHA384);
    for (size_t i = 0; i < ARRAY_SIZE(algs); i++) {
        _findings_ struct findings f = {0};
        char expected[80];
        make_reference(&ref);
        ref.values.sha384 = i == 0 ? NULL : &other.values;
        run_in(algs[i], &good, &good, EVENT_LOG_TCG2, &ref, &f);
        const struct finding *r = find(&f, "boot.reference", VERDICT_REJECT);
        assert_non_null(r);
        assert_false(findings_pass(&f));
        snprintf(expected, sizeof(expected), "reference values in %s, the hash of the token",
                 hash_name(algs[i]));
        assert_string_equal(r->expected, expected);
        assert_string_equal(r->found, i == 0 ? "only sha-256" : "only sha-256 and sha-384");
        assert_non_null(strstr(r->remedy, "encroot image measure"));
    }
}

/* E9: genuine digests where no register covers them count for nothing. */
static void records_without_a_register_count_for_nothing(void **state)
{
    (void)state;
    static const uint32_t uncovered[] = {0, 10};
    struct reference ref;
    make_reference(&ref);
    for (size_t i = 0; i < ARRAY_SIZE(uncovered); i++) {
        struct boot b = good;
        b.records[AT_KERNEL].index = uncovered[i];
        _findings_ struct findings f = {0};
        run(&b, &b, EVENT_LOG_TCG2, &ref, &f);
        assert_non_null(find(&f, "boot.kernel", VERDICT_REJECT));
        assert_non_null(find(&f, "log.replay.rem2", VERDICT_PASS));
    }
    struct boot b = good;
    insert(&b, 0, (struct record){0, 0x12345678, "firmware", 0, "", 0});
    assert_passes(&b, &ref);
}

/* ---- reference values that hold nothing must not pass vacuously ---- */

static void empty_references_are_rejected(void **state)
{
    (void)state;
    struct reference ref;
    make_reference(&ref);
    ref.values.kernel_count = 0;
    assert_rejects(&good, &ref, "boot.kernel");
    assert_rejects(&good, &ref, "boot.cmdline");

    make_reference(&ref);
    ref.cmdlines[0][0] = NULL;
    assert_rejects(&good, &ref, "boot.cmdline");
    ref.kernels[0].cmdlines = NULL;
    assert_rejects(&good, &ref, "boot.cmdline");

    make_reference(&ref);
    ref.values.grub = (struct digest){.alg = HASH_SHA256};
    assert_rejects(&good, &ref, "boot.grub");
    make_reference(&ref);
    ref.kernels[0].initramfs = (struct digest){0};
    assert_rejects(&good, &ref, "boot.initramfs");
    make_reference(&ref);
    ref.values.grub_cfg_count = 0;
    ref.values.grub_cfg = (struct digest){0};
    assert_rejects(&good, &ref, "boot.grub.cfg");

    struct platform_claims claims;
    struct event_log none = {.bank = HASH_SHA256};
    _findings_ struct findings f = {0};
    measure(&good, &claims);
    appraise_boot(&none, EVENT_LOG_TCG2, &claims, NULL, &waive_all, &f);
    assert_non_null(find(&f, "boot.reference", VERDICT_REJECT));
}

static void rim_must_be_one_of_the_policy(void **state)
{
    (void)state;
    struct platform_claims claims;
    struct digest accepted[] = {digest_of("other"), digest_of("rim")};
    struct digest empty = {.alg = HASH_SHA256};
    measure(&good, &claims);
    static const struct {
        size_t count;
        enum verdict verdict;
    } cases[] = {{0, VERDICT_REJECT}, {1, VERDICT_REJECT}, {2, VERDICT_PASS}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _findings_ struct findings f = {0};
        struct appraisal_policy policy = {.initial = accepted, .initial_count = cases[i].count};
        appraise_initial(&claims, &policy, &f);
        assert_non_null(find(&f, "rim", cases[i].verdict));
    }
    _findings_ struct findings f = {0};
    struct appraisal_policy policy = {.initial = &empty, .initial_count = 1};
    claims.initial = empty;
    appraise_initial(&claims, &policy, &f);
    assert_non_null(find(&f, "rim", VERDICT_REJECT));
}

static void claims_without_registers_are_rejected(void **state)
{
    (void)state;
    _buffer_ struct buffer text = {0};
    write_log(&good, EVENT_LOG_TCG2, &text);
    for (int defect = 0; defect < 4; defect++) {
        struct platform_claims claims;
        struct event_log log = {0};
        _findings_ struct findings f = {0};
        measure(&good, &claims);
        if (defect == 0)
            claims.hash = HASH_NONE;
        if (defect == 1)
            claims.register_count = 1;
        if (defect == 2)
            claims.register_count = PLATFORM_REGISTERS_MAX + 1;
        if (defect == 3)
            claims.pcr_map = NULL;
        assert_false(appraise_log(&log, buffer_bytes(&text), EVENT_LOG_TCG2, &claims, &f));
        assert_non_null(find(&f, "log.format", VERDICT_REJECT));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_boot_passes),
        cmocka_unit_test(other_entry_and_decompressed_kernel_pass),
        cmocka_unit_test(boot_without_shim_passes),
        cmocka_unit_test(real_log_is_explained),
        cmocka_unit_test(changed_components_are_rejected_by_name),
        cmocka_unit_test(one_change_gives_one_rejection),
        cmocka_unit_test(missing_components_are_rejected),
        cmocka_unit_test(empty_logs_are_rejected),
        cmocka_unit_test(logs_that_differ_from_the_registers_are_rejected),
        cmocka_unit_test(other_orders_are_rejected),
        cmocka_unit_test(repeated_components_are_rejected),
        cmocka_unit_test(mixed_entries_are_rejected),
        cmocka_unit_test(every_program_must_be_a_reference_value),
        cmocka_unit_test(programs_cannot_hide_under_another_type),
        cmocka_unit_test(changed_command_lines_are_rejected_word_by_word),
        cmocka_unit_test(command_lines_are_what_was_measured),
        cmocka_unit_test(paths_must_be_equal_and_files_known),
        cmocka_unit_test(files_cannot_hide_under_another_name),
        cmocka_unit_test(files_cannot_hide_as_shims_variables),
        cmocka_unit_test(dangerous_commands_are_rejected),
        cmocka_unit_test(tables_are_no_variables),
        cmocka_unit_test(known_commands_pass),
        cmocka_unit_test(typed_commands_are_rejected),
        cmocka_unit_test(the_list_does_not_open_other_doors),
        cmocka_unit_test(commands_of_a_changed_configuration_are_its_echo),
        cmocka_unit_test(sha384_boots_are_appraised_in_sha384),
        cmocka_unit_test(values_in_another_hash_are_told),
        cmocka_unit_test(records_without_a_register_count_for_nothing),
        cmocka_unit_test(empty_references_are_rejected),
        cmocka_unit_test(rim_must_be_one_of_the_policy),
        cmocka_unit_test(claims_without_registers_are_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
